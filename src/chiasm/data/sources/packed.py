"""Pairs that lie many to a file: what every such source keeps in memory of each is where it is.

files ─ looked through once ─ (id, facts, place) ─ places: a few numbers a pair
└─────────── fingerprint, duplicates, what is left out
"""

import hashlib
import json
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from chiasm.data.pairs import Pair
from chiasm.data.sources.record import Skipped, summary, summed_up


@dataclass(frozen=True)
class Found:
    """A pair: what it is called, what the fingerprint covers (JSON), and the numbers that find it again."""

    id: str
    facts: Sequence[Any]
    place: Sequence[int]


class PackedSource(ABC):
    """Looks through its files when it is opened; what cannot be used is named in `skipped`."""

    looked_for: ClassVar[str]

    def __init__(self, where: str | Path) -> None:
        self.where = str(where)
        self._places = array("q")
        self._width = 1
        self._digest = hashlib.sha256()
        skipped: list[Skipped] = []
        seen: set[bytes] = set()  # 12 bytes of each id's hash: less memory than the ids, and let go of below
        for found in self._find():
            if isinstance(found, Skipped):
                skipped.append(found)
            elif (key := hashlib.sha256(found.id.encode()).digest()[:12]) in seen:
                skipped.append(Skipped(found.id, "duplicate id, the first is kept"))
            else:
                seen.add(key)
                self._digest.update(json.dumps([found.id, *found.facts], sort_keys=True).encode())
                self._width = len(found.place)
                self._places.extend(found.place)
        self.skipped = tuple(skipped)
        if not seen:
            told = summary(skipped) or "nothing there"
            raise ValueError(f"no pairs in {where}: {told}; looked for {self.looked_for}")

    @abstractmethod
    def _find(self) -> Iterator[Found | Skipped]: ...

    @abstractmethod
    def _pair(self, *place: int) -> Pair: ...

    def __len__(self) -> int:
        return len(self._places) // self._width

    def __getitem__(self, index: int) -> Pair:
        row = range(len(self))[index]  # counts from the end too, and knows when to stop
        return self._pair(*self._places[row * self._width : (row + 1) * self._width])

    @property
    def fingerprint(self) -> str:
        """Of ids, texts, tags and the sizes of the files."""
        return self._digest.hexdigest()[:16]

    def summary(self) -> str:
        """What was found and what was left out, in one line."""
        return summed_up(f"{len(self)} pairs in {self.where}", self.skipped)

    def _runs(self, *parts: int) -> Sequence[range]:
        """Ranges of rows whose places agree in the numbers `parts`."""
        keys = zip(*(self._places[part :: self._width] for part in parts), strict=True)
        starts = [0, *(row for row, (one, other) in enumerate(pairwise(keys), 1) if one != other)]
        return [range(*ends) for ends in pairwise([*starts, len(self)])]
