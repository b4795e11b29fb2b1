"""One walk over a source: pictures are read in several threads, and of each pair a row of numbers stays.

A row takes 72 bytes; what else is kept does not grow with the source.
"""

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from chiasm.data.pairs import Pair, Source
from chiasm.inspection.examine import Examined, Picture, Tongue, digest, examine

ROW = np.dtype([
    ("index", np.int64), ("file", np.uint64),
    ("text", np.uint64), ("letters", np.uint32), ("words", np.uint32), ("empty", bool), ("cut", bool), ("name", bool),
    ("readable", bool), ("pixels", np.uint64), ("bytes", np.int64),
    ("width", np.uint32), ("height", np.uint32), ("blur", np.float32), ("hash", np.uint64),
])  # fmt: skip
UNREADABLE = (False, 0, 0, 0, 0, 0.0, 0)
NAMED = 3  # examples of a reason
KINDS = 100  # reasons, tags and values that are told apart; the others are counted together
OTHERS = "others"
VARYING = re.compile(r"\d[\d,.]*")  # what differs between pictures that are broken in the same way
ADDRESS = re.compile(r"0x[0-9a-f]+")  # where something lay in memory: different in every run
Progress = Callable[[int, int], None]


@dataclass
class Kinds:
    """Counts of a bounded number of kinds, each with its first examples."""

    counts: Counter[str] = field(default_factory=Counter[str])
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, kind: str, example: str) -> None:
        if kind not in self.counts and len(self.counts) >= KINDS:
            kind = OTHERS
        self.counts[kind] += 1
        named = self.examples.setdefault(kind, [])
        if len(named) < NAMED:
            named.append(example)


@dataclass
class Survey:
    """What was seen, row by row and in sum."""

    rows: Shaped[np.ndarray, "n"]
    broken: Kinds = field(default_factory=Kinds)
    formats: Counter[str] = field(default_factory=Counter[str])
    languages: Counter[str] = field(default_factory=Counter[str])
    tags: dict[str, Kinds] = field(default_factory=dict[str, Kinds])
    _told: dict[str, str] = field(default_factory=dict[str, str])  # a reason without its numbers -> as first told

    def take(self, place: int, index: int, pair: Pair, seen: Examined) -> None:
        """Write down pair `index` of the source as row `place`."""
        # several texts of one picture are no copies of it, but where its bytes came along nobody can tell
        file = digest(os.fsencode(pair.image)) if isinstance(pair.image, Path) else index
        words, picture = seen.words, UNREADABLE
        match seen.picture:
            case Picture(look=look) as found:
                picture = (True, found.pixels, found.bytes, look.width, look.height, look.blur, look.hash)
                self.formats[found.format] += 1
            case reason:
                self.broken.add(self._kind(reason), pair.id)
        text = (words.digest, words.letters, words.words, words.empty, words.cut, words.name)
        self.rows[place] = (index, file, *text, *picture)
        self.languages[words.language] += 1
        for name, value in pair.tags.items():
            self._tag(name, value, pair.id)

    def _kind(self, reason: str) -> str:
        """Reasons that differ in numbers only are one, in the words of the first."""
        plain = ADDRESS.sub("0x...", reason)
        key = VARYING.sub("#", plain)
        return self._told.setdefault(key, plain) if key in self._told or len(self._told) < KINDS else OTHERS

    def _tag(self, name: str, value: Any, example: str) -> None:
        if name not in self.tags and len(self.tags) >= KINDS:
            name = OTHERS
        kinds = self.tags.setdefault(name, Kinds())
        match value:
            case str() | bool() | int() | float() | None:
                kinds.add(str(value), example)
            case Mapping():
                kinds.add("(an object)", example)
            case _:
                kinds.add("(a list)", example)


def survey(source: Source, chosen: Sequence[int], *, tongue: Tongue, threads: int, progress: Progress) -> Survey:
    """Look at the chosen pairs; the source is asked by one thread only, since it need not know of others."""
    seen = Survey(np.zeros(len(chosen), ROW))
    with ThreadPoolExecutor(threads, thread_name_prefix="examine") as pool:

        def work(pair: Pair) -> Future[Examined]:
            return pool.submit(examine, pair, tongue)

        for place, (index, pair, found) in enumerate(_ahead(source, chosen, work, limit=4 * threads)):
            seen.take(place, index, pair, found)
            progress(place + 1, len(chosen))
    return seen


def _ahead(
    source: Source, chosen: Iterable[int], work: Callable[[Pair], Future[Examined]], *, limit: int
) -> Iterator[tuple[int, Pair, Examined]]:
    """Results in order, with at most `limit` pairs in memory."""
    waiting = deque[tuple[int, Pair, Future[Examined]]]()
    for index in chosen:
        if len(waiting) == limit:
            first, pair, done = waiting.popleft()
            yield first, pair, done.result()
        pair = source[index]
        waiting.append((index, pair, work(pair)))
    for index, pair, done in waiting:
        yield index, pair, done.result()
