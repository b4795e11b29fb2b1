"""The order of an epoch: every row once, all chance from (seed, epoch), any place in it at once."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from chiasm.data import order as orders
from chiasm.data.order import Windows, order
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


def drawn(source: Loose | Rows, seed: int = 0, epoch: int = 0) -> list[int]:
    rows = order(source, seed, epoch)
    return [rows[place] for place in range(len(rows))]


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_once(source: Loose | Rows) -> None:
    assert sorted(drawn(source)) == list(range(len(source)))


@pytest.mark.parametrize("source", SOURCES)
def test_seed_and_epoch_decide(source: Loose | Rows) -> None:
    assert drawn(source) == drawn(source)
    assert len({tuple(drawn(source, seed, epoch)) for seed in range(2) for epoch in range(2)}) == 4


@pytest.mark.parametrize("source", SOURCES)
def test_a_place_is_reached_at_once(source: Loose | Rows) -> None:
    rows, whole = order(source, 3, 1), drawn(source, 3, 1)
    places = [place * 37 % len(rows) for place in range(200)]
    assert [rows[place] for place in places] == [whole[place] for place in places]


def test_windows_against_a_plain_loop() -> None:
    """Shards in an order of their own, one after the other, cut into windows: each holds its rows in another order."""
    source = Rows([30, 5, 12, 50, 3])
    mine = drawn(source, 5, 2)
    visited = orders.permutation(5, "shards", 5, 2).tolist()
    line = [row for i in visited for row in source.shards[i]]
    for start in range(0, 100, 16):
        assert sorted(mine[start : start + 16]) == sorted(line[start : start + 16])
    assert mine != line
    assert visited != list(range(5))


def test_what_does_not_care_is_shuffled_over_the_whole_epoch() -> None:
    """Near neighbours end up far apart: a row moves by a third of the epoch on average, not by a window."""
    rows = drawn(Loose(600))
    assert abs(sum(abs(row - place) for place, row in enumerate(rows)) / 600 - 200) < 20
    assert len(order(Rows([]), 0, 0)) == 0


def test_memory_does_not_grow_with_the_rows() -> None:
    """A billion rows in a thousand shards: any place at once, and nothing but one window is held."""
    rows = Windows([range(i * 10**6, (i + 1) * 10**6) for i in range(1000)], 0, 0)
    seen = [rows[place] for place in range(len(rows) - 40, len(rows))]
    assert len(set(seen)) == 40
    assert len(rows) == 10**9
    assert len(rows._window[1]) <= 16
