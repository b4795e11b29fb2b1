"""The stream of batches: a function of seed and position, whatever is broken, cached or shared."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from chiasm.core.types import ImageText, Instructed, Pixels, Wording
from chiasm.data import loader
from chiasm.data.augment import Augment, RandomResizedCrop
from chiasm.data.batches import Captions
from chiasm.data.images import ImageProcessor
from chiasm.data.instructions import Instructions, Sensed
from chiasm.data.loader import PairLoader, Share
from chiasm.data.pairs import Cloud, Pair
from chiasm.data.perceive import Looking, Senses
from chiasm.data.points import CloudProcessor
from chiasm.data.prompts import Prompter
from chiasm.data.text import Tokenizer

PLAIN = ImageProcessor(Pixels(size=6, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
WORDS = Tokenizer.builtin()


@dataclass
class Rows:
    """Pair `i` is a plain picture of the shade `i`, called by a word of its own."""

    count: int
    broken: Sequence[int] = ()
    silent: Sequence[int] = ()
    texts: dict[int, str] = field(default_factory=dict[int, str])
    read: list[int] = field(default_factory=list[int])

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        self.read.append(index)
        image: Any = b"no picture" if index in self.broken else np.full((9, 5, 3), index, np.uint8)
        return Pair(f"row-{index}", image, "..." if index in self.silent else self.texts.get(index, f"row {index}"))

    @property
    def fingerprint(self) -> str:
        return f"{self.count} rows"


def load(source: Rows, **options: Any) -> PairLoader:
    return PairLoader(source, PLAIN, WORDS, **{"batch": 4, "seed": 0, **options})


def shades(batch: ImageText) -> list[int]:
    """Which rows a batch holds, read off its pixels."""
    return (batch.images[:, 0, 0, 0] * 255).round().int().tolist()


def taken(batches: PairLoader, count: int) -> list[int]:
    return [shade for batch in islice(batches, count) for shade in shades(batch)]


def same(one: ImageText, other: ImageText) -> bool:
    pairs = [(one.images, other.images), (one.text.ids, other.text.ids), (one.identity, other.identity)]
    return all(torch.equal(*pair) for pair in [*pairs, (one.text.mask, other.text.mask)])


def test_an_epoch_has_every_row_once() -> None:
    rows = taken(load(Rows(12)), 6)
    assert sorted(rows[:12]) == sorted(rows[12:]) == list(range(12))
    assert rows[:12] != rows[12:]
    assert rows[:12] != list(range(12))


def test_a_batch_holds_the_picture_and_its_words() -> None:
    batch = next(load(Rows(12)))
    for row, shade in enumerate(shades(batch)):
        assert (batch.images[row] == shade / 255).all()
        assert WORDS.decode(batch.text.ids[row][batch.text.mask[row]].tolist()) == f"row {shade}"
    alone = WORDS.encode([f"row {shade}" for shade in shades(batch)])
    assert torch.equal(batch.text.ids, alone.ids)
    assert torch.equal(batch.text.mask, alone.mask)


def test_the_order_follows_the_seed() -> None:
    orders = [taken(load(Rows(20), seed=seed), 10) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_batches_run_over_the_end_of_an_epoch() -> None:
    batches = load(Rows(5))
    rows = taken(batches, 5)
    assert [sorted(rows[i : i + 5]) for i in range(0, 20, 5)] == [list(range(5))] * 4
    assert batches.state_dict() == {"passed": 20, "source": "5 rows", "skipped": {}}
    assert (batches.epoch_steps, load(Rows(3)).epoch_steps, load(Rows(9)).epoch_steps) == (1, 1, 2)


def test_fewer_rows_than_a_batch() -> None:
    assert sorted(taken(load(Rows(3), batch=6), 1)) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("augment", [None, RandomResizedCrop()])
def test_a_stream_is_taken_up_again_exactly(after: int, augment: Augment | None) -> None:
    first = load(Rows(11, broken=[2, 5]), augment=augment)
    list(islice(first, after))
    state = first.state_dict()
    again = load(Rows(11, broken=[2, 5]), augment=augment)
    next(again)  # what was made ahead is forgotten
    again.load_state_dict(state)
    for _ in range(8):
        assert same(next(first), next(again))
        assert first.state_dict() == again.state_dict()


def test_a_state_of_other_pairs() -> None:
    with pytest.raises(ValueError, match=r"pairs have changed .*11 rows then, 12 rows now"):
        load(Rows(12)).load_state_dict(load(Rows(11)).state_dict())


@pytest.mark.parametrize("augment", [None, RandomResizedCrop()])
def test_memory_changes_nothing_but_the_reading(monkeypatch: pytest.MonkeyPatch, augment: Augment | None) -> None:
    kept, source = load(Rows(9, broken=[4]), augment=augment), Rows(9, broken=[4])
    monkeypatch.setattr(loader, "MEMORY", 0)
    fresh = load(source, augment=augment)
    for _ in range(9):
        assert same(next(kept), next(fresh))
    next(kept)
    assert sorted(kept.source.read) == list(range(9))
    assert len(source.read) > 30
    assert source.read.count(4) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_processes_cut_the_batches_of_one(count: int) -> None:
    whole = load(Rows(13), batch=6)
    parts = [load(Rows(13), batch=6, share=Share(rank, count)) for rank in range(count)]
    for _ in range(7):  # over the ends of three epochs, none of which is the end of a batch
        assert [shade for part in parts for shade in shades(next(part))] == shades(next(whole))
    assert {part.epoch_steps for part in parts} == {2}


def test_a_process_fills_up_from_its_own_rows() -> None:
    good = [row for row in range(24) if row not in (3, 7, 11)]
    parts = [taken(load(Rows(24, broken=[3, 7, 11]), batch=6, share=Share(rank, 2)), 6) for rank in range(2)]
    assert [len(part) for part in parts] == [18, 18]
    whole = taken(load(Rows(24), batch=6), 4)
    for rank, part in enumerate(parts):
        ours = [row for batch in range(4) for row in whole[batch * 6 + 3 * rank :][:3] if row in good]
        assert part[: len(ours)] == ours


def test_every_row_broken_is_noticed_by_every_process() -> None:
    for rank in range(2):
        with pytest.raises(ValueError, match="none of 6 pairs can be used: 6 x is not a picture"):
            next(load(Rows(6, broken=[*range(6)]), batch=6, share=Share(rank, 2)))


def test_broken_rows_are_passed_over_and_named() -> None:
    batches = load(Rows(10, broken=[3, 7], silent=[5]))
    rows = taken(batches, 7)
    good = [0, 1, 2, 4, 6, 8, 9]
    assert [sorted(rows[i : i + 7]) for i in range(0, 28, 7)] == [good] * 4
    assert sorted((each.id, each.reason) for each in batches.skipped) == [
        ("row-3", "is not a picture of any known format"),
        ("row-5", "no text"),
        ("row-7", "is not a picture of any known format"),
    ]
    assert all(batches.source.read.count(index) == 1 for index in range(10))


def test_the_good_rows_keep_their_order() -> None:
    whole = [row for row in taken(load(Rows(10)), 10) if row not in (3, 7)]
    assert taken(load(Rows(10, broken=[3, 7])), 8) == whole


def test_one_good_row_is_enough() -> None:
    assert taken(load(Rows(50, broken=[*range(49)])), 2) == [49] * 8


def test_nothing_good_ends() -> None:
    batches = load(Rows(6, broken=[*range(6)]))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"none of 6 pairs can be used: 6 x is not a picture .*row-"):
            next(batches)


def test_what_cannot_make_batches() -> None:
    with pytest.raises(ValueError, match="batches of 0"):
        load(Rows(3), batch=0)
    with pytest.raises(ValueError, match="batches of 4 from 0 pairs"):
        load(Rows(0))
    with pytest.raises(ValueError, match="batch of 4 pairs cannot be cut into equal parts for 3 processes: make it a "):
        load(Rows(3), share=Share(0, 3))


def test_equal_words_mean_the_same() -> None:
    batch = next(load(Rows(4, texts={0: "A red ring.", 2: "a  red ring", 3: "a blue ring"})))
    identity = dict(zip(shades(batch), batch.identity.tolist(), strict=True))
    assert identity[0] == identity[2]
    assert len(set(identity.values())) == 3
    assert identity[0] == 320833660566536617  # in every process, for ever
    assert all(value >= 0 for value in identity.values())


def test_long_texts_are_cut() -> None:
    batch = next(load(Rows(4, texts={1: "red " * 1000}), form=Captions(max_length=7)))
    assert batch.text.ids.shape == (4, 7)
    row = shades(batch).index(1)
    assert batch.text.ids[row, -1] == WORDS.markers.sep


def test_a_view_depends_on_seed_epoch_and_row_alone() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)

    class Noise(Rows):
        def __getitem__(self, index: int) -> Pair:
            return Pair(f"row-{index}", noise, f"row {index}")

    images = ImageProcessor(replace(PLAIN.pixels, size=40))

    def views(count: int, **options: Any) -> list[torch.Tensor]:
        augment = RandomResizedCrop()
        batches = PairLoader(Noise(8), images, WORDS, augment=augment, **{"batch": 4, "seed": 0, **options})
        return sorted(torch.cat([next(batches).images for _ in range(count)]), key=lambda view: view.sum().item())

    epoch, small = views(2), views(4, batch=2)
    assert all(torch.equal(one, other) for one, other in zip(epoch, small, strict=True))
    assert len(torch.stack(epoch).unique(dim=0)) == 8
    assert len(torch.stack(views(4)).unique(dim=0)) == 16
    assert len(torch.stack(views(2) + views(2, seed=1)).unique(dim=0)) == 16


SENSES = Senses({"image": Looking(PLAIN), "points": CloudProcessor(points=3)})
TOLD = Sensed(Instructions(Prompter(WORDS, Wording(start=2, close=None, end=3, pad=0), {"image": "", "points": ""})))


@dataclass
class Things(Rows):
    """Every second one is a cloud, and every third one both."""

    def __getitem__(self, index: int) -> Pair:
        pair = super().__getitem__(index)
        cloud = Cloud(np.full((4, 3), index, np.float32) + np.eye(4, 3, dtype=np.float32))
        thing = pair.image if index in self.broken or index % 2 else cloud
        tags = {"senses": ["image" if index in self.broken or index % 2 else "points"]}
        second = None if index % 3 else np.full((6, 6, 3), index, np.uint8)
        return replace(
            pair, image=thing, tags={"senses": [*tags["senses"], *["image"] * (not index % 3)]}, second=second
        )


def sensed(source: Rows, **options: Any) -> PairLoader:
    return PairLoader(source, SENSES, WORDS, **{"batch": 4, "seed": 0, "form": TOLD, **options})


def says(batch: Instructed) -> list[str]:
    rows = zip(batch.said.ids, batch.said.mask, strict=True)
    return [WORDS.decode(ids[mask].tolist()) for ids, mask in rows]


def test_things_for_any_sense_come_in_the_order_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is broken is passed over and named, a stream is taken up again, and memory changes nothing."""
    first, pictures = sensed(Things(12, broken=[5])), load(Rows(12, broken=[5]))
    monkeypatch.setattr(loader, "MEMORY", 0)
    fresh = sensed(Things(12, broken=[5]))
    for step in range(7):
        rows = shades(next(pictures))
        batch, other = next(first), next(fresh)
        assert says(batch) == says(other) == [f"row {row}" for row in rows]
        shown = {
            "image": [row for row in rows for _ in range(row % 2 + (row % 3 == 0))],
            "points": [row for row in rows if not row % 2],
        }
        assert {sense: len(media) for sense, media in batch.shown.items()} == {s: len(r) for s, r in shown.items() if r}
        if "image" in batch.shown:
            assert (batch.shown["image"][:, 0, 0, 0, 0] * 255).round().int().tolist() == shown["image"]
        assert all(torch.equal(media, other.shown[sense]) for sense, media in batch.shown.items())
        if step == 3:
            fresh = sensed(Things(12, broken=[5]))
            fresh.load_state_dict(first.state_dict())
    assert [(skipped.id, skipped.reason) for skipped in first.skipped] == [("row-5", pictures.skipped[0].reason)]


def test_a_sense_that_a_model_lacks_stops_the_run() -> None:
    with pytest.raises(ValueError, match="unknown sense 'points'"):
        next(PairLoader(Things(12), Senses({"image": Looking(PLAIN)}), WORDS, batch=4, seed=0, form=TOLD))
