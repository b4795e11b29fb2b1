"""The order of an epoch: every row once, all chance from (seed, epoch, rank), any place in it at once."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from chiasm.data import order as orders
from chiasm.data.order import ALONE, Share, Windows, order
from chiasm.data.pairs import Pair


@dataclass
class Rows:
    """Rows that lie together in shards of these sizes."""

    sizes: list[int]
    fingerprint: str = "rows"

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, index: int) -> Pair:
        return Pair(str(index), b"", "")

    @property
    def shards(self) -> list[range]:
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        return [range(*each) for each in pairwise(ends)]


@dataclass
class Loose:
    """Rows that lie anywhere."""

    rows: int
    fingerprint: str = "loose"
    read: list[int] = field(default_factory=list[int])

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Pair:
        self.read.append(index)
        return Pair(str(index), b"", "")


SOURCES = [Loose(100), Rows([100]), Rows([7] * 9 + [1, 40, 2]), Rows([1] * 50)]


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "WINDOW", 16)


def drawn(source: Loose | Rows, seed: int = 0, epoch: int = 0, share: Share = ALONE) -> list[int]:
    rows = order(source, seed, epoch, share)
    return [rows[place] for place in range(len(rows))]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_every_row_once_over_all_ranks_but_the_remainder(source: Loose | Rows, ranks: int) -> None:
    parts = [drawn(source, share=Share(rank, ranks)) for rank in range(ranks)]
    assert {len(part) for part in parts} == {len(source) // ranks}
    everyone = [row for part in parts for row in part]
    assert len(set(everyone)) == len(everyone) == len(source) // ranks * ranks
    assert set(everyone) <= set(range(len(source)))


@pytest.mark.parametrize("source", SOURCES)
def test_seed_and_epoch_decide(source: Loose | Rows) -> None:
    assert drawn(source) == drawn(source)
    assert len({tuple(drawn(source, seed, epoch)) for seed in range(2) for epoch in range(2)}) == 4


@pytest.mark.parametrize("source", SOURCES)
def test_a_place_is_reached_at_once(source: Loose | Rows) -> None:
    rows, whole = order(source, 3, 1, Share(1, 2)), drawn(source, 3, 1, Share(1, 2))
    places = [place * 37 % len(rows) for place in range(200)]
    assert [rows[place] for place in places] == [whole[place] for place in places]


def test_windows_against_a_plain_loop() -> None:
    """Shards in an order of their own, one after the other, cut into windows: each holds its rows in another order."""
    source, share = Rows([30, 5, 12, 50, 3]), Share(1, 2)
    alone = [row for rank in range(2) for row in drawn(source, 5, 2, Share(rank, 2))]
    first = [next(i for i, shard in enumerate(source.shards) if row in shard) for row in alone]
    middle = [sum(place for place, shard in enumerate(first) if shard == i) / source.sizes[i] for i in range(5)]
    visited = sorted(range(5), key=middle.__getitem__)
    line = [row for i in visited for row in source.shards[i]]
    mine = drawn(source, 5, 2, share)
    part = line[50:]
    for start in range(0, 50, 16):
        assert sorted(mine[start : start + 16]) == sorted(part[start : start + 16])
    assert mine != part
    assert visited != list(range(5))


def test_what_does_not_care_is_shuffled_over_the_whole_epoch() -> None:
    """Near neighbours end up far apart: a row moves by a third of the epoch on average, not by a window."""
    rows = drawn(Loose(600))
    assert abs(sum(abs(row - place) for place, row in enumerate(rows)) / 600 - 200) < 20
    assert len(order(Rows([]), 0, 0)) == 0


def test_memory_does_not_grow_with_the_rows() -> None:
    """A billion rows in a thousand shards: any place at once, and nothing but one window is held."""
    rows = Windows([range(i * 10**6, (i + 1) * 10**6) for i in range(1000)], 0, 0, Share(2, 7))
    seen = [rows[place] for place in range(len(rows) - 40, len(rows))]
    assert len(set(seen)) == 40
    assert len(rows) == 10**9 // 7
    assert len(rows._window[1]) <= 16
