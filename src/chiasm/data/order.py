"""In which order an epoch visits the rows: a function of (seed, epoch), taken up anywhere by a number.

    rows that are reached singly     one permutation
    rows that lie together           shards in a permuted order ─ shuffled in windows of `WINDOW`

A place in the second is a shard and an offset in it, and costs no memory that grows with the rows.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from chiasm.data.pairs import Source
from chiasm.data.sources.chance import chance

WINDOW = 1024  # rows among which a row of a shard is shuffled


@runtime_checkable
class Rows(Protocol):
    """Numbers of rows, perhaps worked out when asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> int: ...


@runtime_checkable
class Sharded(Protocol):
    """A source that reads best when the rows of a range are read together; no ranges: it does not matter."""

    @property
    def shards(self) -> Sequence[range]: ...


@runtime_checkable
class Ordered(Protocol):
    """A source that decides itself how often a row comes in an epoch, and when."""

    def order(self, seed: int, epoch: int) -> Rows: ...


def order(source: Source, seed: int, epoch: int) -> Rows:
    """The rows of an epoch, as many as the source has."""
    if isinstance(source, Ordered):
        return source.order(seed, epoch)
    shards = shards_of(source)
    return Windows(shards, seed, epoch) if shards else shuffled(source, seed, epoch)


def shards_of(source: Source) -> Sequence[range]:
    """Which rows lie together; none for a source that does not care."""
    return source.shards if isinstance(source, Sharded) else ()


def shuffled(source: Source, seed: int, epoch: int) -> Rows:
    """Any row anywhere in the epoch."""
    return _Drawn(permutation(len(source), "order", seed, epoch))


@dataclass(frozen=True)
class _Drawn:
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int, /) -> int:
        return int(self.rows[place])


class Windows:
    """Shard after shard in a permuted order; windows are shuffled."""

    def __init__(self, shards: Sequence[range], seed: int, epoch: int) -> None:
        self._shards = [shards[i] for i in permutation(len(shards), "shards", seed, epoch).tolist()]
        self._ends = list(accumulate(map(len, self._shards)))
        self._key = (seed, epoch)
        self._window: tuple[int, list[int]] = (-1, [])  # number of the last one, and its rows

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, place: int, /) -> int:
        number, offset = divmod(place, WINDOW)
        if self._window[0] != number:
            start = number * WINDOW
            rows = list(self._between(start, min(start + WINDOW, len(self))))
            drawn = permutation(len(rows), "window", *self._key, start)
            self._window = (number, [rows[i] for i in drawn.tolist()])
        return self._window[1][offset]

    def _between(self, start: int, stop: int) -> Iterator[int]:
        """The rows from one place of the order of shards to another."""
        shard = bisect_right(self._ends, start)
        while start < stop:
            rows, end = self._shards[shard], self._ends[shard]
            upto = min(stop, end)
            yield from rows[len(rows) - (end - start) : len(rows) - (end - upto)]
            start, shard = upto, shard + 1


def permutation(rows: int, *key: object) -> Tensor:
    """The numbers below `rows` in an order drawn by lot; the same key draws the same."""
    generator = torch.Generator().manual_seed(chance(*key).getrandbits(63))
    return torch.randperm(rows, generator=generator)
