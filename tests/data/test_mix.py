"""Mixtures: each part as often as it weighs, to the row; each in epochs of its own; resumed by a number."""

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from chiasm.core.types import ImageText, Pixels
from chiasm.data import loader
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.order import order
from chiasm.data.pairs import Pair
from chiasm.data.sources import anchored, compose, open_source
from chiasm.data.sources.compose import Chain, Drawn, Subset, subset, usable
from chiasm.data.sources.mix import Mixture
from chiasm.data.sources.record import Skipped, Summarised, left_out, summary_of
from chiasm.data.text import Tokenizer
from chiasm.data.writers import write_parquet, write_tar

PLAIN = ImageProcessor(Pixels(size=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))


class Rows:
    """Pair `i` shows the shade `first + i`."""

    def __init__(self, rows: int, first: int = 0, shards: tuple[range, ...] = ()) -> None:
        self.rows, self.first, self.shards = rows, first, shards

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Pair:
        shade = self.first + index
        return Pair(f"row-{shade}", np.full((4, 4, 3), shade, np.uint8), f"row {shade}")

    @property
    def fingerprint(self) -> str:
        return f"{self.first}+{self.rows}"


def drawn(mixture: Mixture, epochs: int, seed: int = 0) -> list[list[int]]:
    rows = [order(mixture, seed, epoch) for epoch in range(epochs)]
    return [[each[place] for place in range(len(each))] for each in rows]


def parts_of(mixture: Mixture, rows: list[int]) -> list[int]:
    """How many rows of each part."""
    counts = Counter(sum(row >= start for start in mixture.starts[1:-1]) for row in rows)
    return [counts[part] for part in range(len(mixture.parts))]


@pytest.mark.parametrize("weights", [[1.0, 1.0], [3.0, 1.0], [0.001, 1.0], None])
def test_an_epoch_has_the_share_of_each_part(weights: list[float] | None) -> None:
    mixture = Mixture([Rows(100), Rows(10, 100)], weights)
    first, second = weights or (10, sqrt(10))
    expected = [110 * first / (first + second), 110 * second / (first + second)]
    for epoch in drawn(mixture, 3):
        assert len(epoch) == len(mixture) == 110
        assert all(abs(count - wanted) < 1 for count, wanted in zip(parts_of(mixture, epoch), expected, strict=True))


def test_each_part_has_epochs_of_its_own() -> None:
    mixture = Mixture([Rows(30), Rows(5, 30)], [1.0, 1.0])
    stream = [row for epoch in drawn(mixture, 12) for row in epoch]
    for start, size in ((0, 30), (30, 5)):
        own = [row for row in stream if start <= row < start + size]
        rounds = [own[i : i + size] for i in range(0, len(own) - size + 1, size)]
        assert len(rounds) > 5
        assert all(sorted(each) == list(range(start, start + size)) for each in rounds)
        assert len({tuple(each) for each in rounds}) > 1


def test_turns_are_drawn_evenly() -> None:
    """In any stretch of an epoch the parts come as often as they weigh, as far as chance allows."""
    mixture = Mixture([Rows(2000), Rows(1000, 2000)], [1.0, 3.0])
    (epoch,) = drawn(mixture, 1)
    shares = [parts_of(mixture, epoch[i : i + 300])[1] / 300 for i in range(0, 3000, 300)]
    assert all(abs(share - 0.75) < 4 * sqrt(0.75 * 0.25 / 300) for share in shares)
    turns = [row >= 2000 for row in epoch]
    changes = sum(a != b for a, b in pairwise(turns))
    assert abs(changes / 3000 - 2 * 0.75 * 0.25) < 0.04


def test_the_weights_of_the_sizes_show_each_row_once() -> None:
    mixture = Mixture([Rows(40), Rows(20, 40)], [2.0, 1.0])
    assert sorted(drawn(mixture, 1)[0]) == list(range(60))
    assert drawn(mixture, 2, seed=1) != drawn(mixture, 2, seed=2)
    assert drawn(mixture, 2, seed=1) == drawn(mixture, 2, seed=1)


def test_equal_parts_do_not_go_in_step() -> None:
    mixture = Mixture([Rows(50), Rows(50)], [1.0, 1.0])
    (epoch,) = drawn(mixture, 1)
    first, second = [row for row in epoch if row < 50], [row - 50 for row in epoch if row >= 50]
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_the_loader_takes_a_mixture_up_again_anywhere(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MEMORY", memory)

    def load() -> PairLoader:
        mixture = Mixture([Rows(13, shards=(range(5), range(5, 13))), Rows(4, 13)], [1.0, 2.0])
        return PairLoader(mixture, PLAIN, Tokenizer.builtin(), batch=3, seed=7)

    def shades(batch: ImageText) -> list[int]:
        return (batch.images[:, 0, 0, 0] * 255).round().int().tolist()

    whole = load()
    states, seen = [], []
    for batch in islice(whole, 25):
        seen.append(shades(batch))
        states.append(whole.state_dict())
    for after in range(24):
        again = load()
        again.load_state_dict(states[after])
        assert shades(next(again)) == seen[after + 1]
    flat = [shade for shades in seen for shade in shades]
    assert abs(sum(shade >= 13 for shade in flat) / len(flat) - 2 / 3) < 0.1


def test_some_rows_of_a_mixture_keep_the_weights() -> None:
    mixture = Mixture([Rows(100), Rows(100, 100)], [3.0, 1.0])
    some = subset(mixture, range(0, 200, 10))
    assert isinstance(some, Mixture)
    assert [some[i].id for i in range(20)] == [mixture[i].id for i in range(0, 200, 10)]
    assert parts_of(some, drawn(some, 1)[0]) == [15, 5]
    assert subset(mixture, [3, 5]).weights == (3,)
    assert isinstance(subset(Rows(4), [1]), Subset)


def test_shards_pass_through() -> None:
    parts = [Rows(6, shards=(range(4), range(4, 6))), Rows(20, 6)]
    chain = Chain(*parts)
    assert [*chain.shards] == [range(4), range(4, 6), range(6, 22), range(22, 26)]
    assert Chain(parts[1]).shards == ()
    some = Subset(chain, [0, 2, 3, 5, 6, 7, 1])
    assert [*some.shards] == [range(3), range(3, 4), range(4, 6), range(6, 7)]
    assert Subset(parts[1], [1, 2]).shards == ()


def test_what_is_typed(tmp_path: Path) -> None:
    pairs = [Pair(str(i), Rows(9)[i].image, f"text {i}") for i in range(9)]
    write_parquet(pairs, tmp_path / "a b.parquet")
    write_tar(pairs[:4], tmp_path / "c.tar")
    mixture = open_source(f"mix:3*{tmp_path}/a b.parquet + 1*{tmp_path}/c.tar")
    assert isinstance(mixture, Mixture)
    assert (len(mixture), mixture.weights) == (13, (3, 1))
    assert open_source(f"mix:{tmp_path}/a b.parquet + {tmp_path}/c.tar").weights == (3, 2)
    made = open_source(f"mix:0.5*world:single?count=8&seed=3 + 2*{tmp_path}/c.tar")
    assert (len(made), made.weights) == (12, (0.5, 2))
    others = [Mixture(mixture.parts), Mixture(mixture.parts, [1.0, 3.0])]
    assert len({each.fingerprint for each in (mixture, made, *others)}) == 4


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("mix:", "should be 'mix:3"),
        ("mix:3*a + b", "a weight for each"),
        ("mix:1.2.3*a + 1*b", "a weight that is no number"),
        ("mix:0*world:single?count=3 + 1*world:single?count=3", "should be above 0"),
        ("mix:nowhere.csv", "nowhere.csv does not exist"),
    ],
)
def test_what_is_mistyped(spec: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_source(spec)


def test_a_name_that_is_good_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sets").mkdir()
    for number in range(2):
        write_tar([Rows(3, 3 * number)[i] for i in range(3)], tmp_path / f"sets/{number}.tar")
    monkeypatch.chdir(tmp_path)
    specs = [
        "sets",
        "sets/{0..1}.tar",
        "sets/*.tar",
        "mix:0.5*sets/0.tar + 2*sets/{1..1}.tar",
        "mix:sets + world?count=3",
    ]
    told = {spec: (anchored(spec), open_source(spec).fingerprint) for spec in [*specs, "world?count=2"]}
    monkeypatch.chdir("/")
    assert all(open_source(anywhere).fingerprint == fingerprint for anywhere, fingerprint in told.values())
    assert told["world?count=2"][0] == "world?count=2"
    assert anchored("memory://a/*.tar") == "memory://a/*.tar"
    assert anchored("nowhere") == "nowhere"


def test_what_is_usable_is_kept_and_the_rest_is_named() -> None:
    source = Rows(6)
    kept, skipped = usable(source, lambda pair: "dark" if pair.text in {"row 0", "row 4"} else "")
    assert [kept[row].id for row in range(len(kept))] == ["row-1", "row-2", "row-3", "row-5"]
    assert skipped == (Skipped("row-0", "dark"), Skipped("row-4", "dark"))
    assert usable(source, lambda _: "") == (source, ())
    with pytest.raises(ValueError, match=r"none of 6 pairs can be used: 6 x dark \(row-0, row-1, row-2, \.\.\.\)"):
        usable(source, lambda _: "dark")


def test_what_is_drawn_is_made_once() -> None:
    source = open_source("world:single?count=3")
    pairs = compose.drawn(source)
    assert [pair.text for pair in pairs.pairs] == [source[row].text for row in range(len(source))]
    assert len(pairs) == 3
    assert pairs[1].image is pairs[1].image
    assert source[1].image is not source[1].image
    numbered = pairs.each(lambda row, pair: replace(pair, text=f"{row} {pair.text}"), "numbered")
    assert isinstance(numbered, Drawn)
    assert numbered[2].text == f"2 {source[2].text}"
    assert numbered[2].image is pairs[2].image
    assert numbered.fingerprint == f"numbered {source.fingerprint}" == f"numbered {pairs.fingerprint}"


def test_every_source_tells_what_it_holds_and_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "x.csv").write_text("image,text\na.png,one\na.png,two\ngone.png,three\n")
    left = "1 left out: 1 x the picture's file is missing (x.csv:4)"
    source = open_source(f"mix:3*{tmp_path}/x.csv + 1*world:single?count=4")
    batches = PairLoader(source, PLAIN, Tokenizer.builtin(), batch=2, seed=0)
    for each, told in (
        (source, f"2 pairs in {tmp_path}/x.csv, {left} + 4 pairs, made"),
        (subset(source, [1, 2]), f"1 of 2 pairs in {tmp_path}/x.csv, {left} + 1 of 4 pairs, made"),
        (
            batches,
            f"2 pairs in {tmp_path}/x.csv, {left} + 4 pairs, made",
        ),
        (Chain(Rows(3), open_source("questions:single?count=5")), "3 pairs + 5 pairs, made"),
    ):
        assert isinstance(each, Summarised)
        assert each.summary() == told
    assert source.skipped == subset(source, [0]).skipped == (Skipped("x.csv:4", "the picture's file is missing"),)
    assert (summary_of(Rows(3)), left_out(Rows(3))) == ("3 pairs", ())
