"""Sources made of sources."""

import hashlib
from collections.abc import Sequence

from chiasm.data.pairs import Pair, Source


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
    def fingerprint(self) -> str:
        return _digest([part.fingerprint for part in self.parts])


class Subset:
    """Some rows of a source, in a given order."""

    def __init__(self, source: Source, rows: Sequence[int]) -> None:
        self.source, self.rows = source, tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Pair:
        return self.source[self.rows[index]]

    @property
    def fingerprint(self) -> str:
        return _digest([self.source.fingerprint, *map(str, self.rows)])


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
