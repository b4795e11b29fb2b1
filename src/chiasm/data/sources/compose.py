"""Sources made of sources."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol, runtime_checkable

from chiasm.data.order import shards_of
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources.record import Skipped, left_out, summary, summary_of

PIECE = 16  # rows


class Chain:
    """One source after the other."""

    def __init__(self, *parts: Source) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int) -> Pair:
        place = index
        for part in self.parts:
            if 0 <= place < len(part):
                return part[place]
            place -= len(part)
        raise IndexError(f"pair {index} of a source that has {len(self)}")

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What any part left out."""
        return tuple(each for part in self.parts for each in left_out(part))

    def summary(self) -> str:
        """What the parts say."""
        return " + ".join(map(summary_of, self.parts))

    @property
    def fingerprint(self) -> str:
        return _digest([part.fingerprint for part in self.parts])

    @property
    def shards(self) -> Sequence[range]:
        """Those of the parts; of a part that does not care, a few rows each."""
        own = [shards_of(part) for part in self.parts]
        if not any(own):
            return ()
        starts = [0, *accumulate(map(len, self.parts))]
        pieces = [shards or _pieces(len(part)) for shards, part in zip(own, self.parts, strict=True)]
        return [
            range(start + rows.start, start + rows.stop)
            for start, ranges in zip(starts, pieces, strict=False)
            for rows in ranges
        ]


@dataclass(frozen=True)
class Drawn:
    """Pairs in memory, each made once, however many models learn from them."""

    pairs: tuple[Pair, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        return self.pairs[index]

    def each(self, change: Callable[[int, Pair], Pair], name: str) -> "Drawn":
        """The same pairs, each changed in a way that has a name."""
        return Drawn(tuple(change(row, pair) for row, pair in enumerate(self.pairs)), f"{name} {self.fingerprint}")


def drawn(source: Source) -> Drawn:
    """A source's pairs, made now."""
    return Drawn(tuple(source[row] for row in range(len(source))), source.fingerprint)


@runtime_checkable
class Divisible(Protocol):
    """A source that knows better than `Subset` what some of its rows are."""

    def subset(self, rows: Sequence[int]) -> Source: ...


def usable(source: Source, fault: Callable[[Pair], str]) -> tuple[Source, tuple[Skipped, ...]]:
    """The rows in which there is no fault, and what was left out because of one."""
    skipped = dict[int, Skipped]()
    for row in range(len(source)):
        pair = source[row]
        if reason := fault(pair):
            skipped[row] = Skipped(pair.id, reason)
    if len(skipped) == len(source):
        raise ValueError(f"none of {len(source)} pairs can be used: {summary(skipped.values())}")
    kept = [row for row in range(len(source)) if row not in skipped]
    return subset(source, kept) if skipped else source, tuple(skipped.values())


def subset(source: Source, rows: Sequence[int]) -> Source:
    """Some rows of a source, in a given order."""
    return source.subset(rows) if isinstance(source, Divisible) else Subset(source, rows)


class Subset:
    """Some rows of a source, in a given order."""

    def __init__(self, source: Source, rows: Sequence[int]) -> None:
        self.source, self.rows = source, tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Pair:
        return self.source[self.rows[index]]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What the source left out."""
        return left_out(self.source)

    def summary(self) -> str:
        """`900 of 1000 pairs in shop, 2 left out: ...`."""
        return f"{len(self)} of {summary_of(self.source)}"

    @property
    def fingerprint(self) -> str:
        return _digest([self.source.fingerprint, *map(str, self.rows)])

    @property
    def shards(self) -> Sequence[range]:
        """Runs of rows that lie in one shard of the source."""
        starts = [rows.start for rows in sorted(shards_of(self.source), key=lambda rows: rows.start)]
        cuts = [i for i, (a, b) in enumerate(pairwise(bisect_right(starts, row) for row in self.rows), 1) if a != b]
        return [range(*ends) for ends in pairwise([0, *cuts, len(self.rows)])] if starts and self.rows else ()


def _pieces(rows: int) -> Sequence[range]:
    return [range(start, min(start + PIECE, rows)) for start in range(0, rows, PIECE)]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
