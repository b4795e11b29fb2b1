"""The one interface between where pairs lie and what is done with them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Unread:
    """A picture that could not be fetched, and why; whoever decodes it is told."""

    where: str
    reason: str


@dataclass(frozen=True)
class Sound:
    """What is heard: one channel of samples, float32 from -1 to 1, so many a second."""

    samples: np.ndarray
    rate: int


@dataclass(frozen=True)
class Cloud:
    """What is felt: points on surfaces, float32 `[n, 3]`."""

    points: np.ndarray


@dataclass(frozen=True)
class Video:
    """What moves: pictures in the order of time, uint8 `[t, h, w, 3]`."""

    frames: np.ndarray


Stored = Path | bytes | np.ndarray | Unread | Sound | Cloud | Video


@dataclass(frozen=True)
class Pair:
    """A picture and its text, not yet decoded.

    `image` is a path, an encoded file's bytes, or pixels (uint8, `[h, w, 3]`), and so is `second`,
    where a text is about two pictures; either may be what another sense perceives instead. `tags` are
    facts that travel along and that JSON can hold: `human`, `noise` (its kind, "" for none), `truth`,
    `facts`; `question`, `answers`, `label`.
    Where the picture is `Unread`, the text may have been lost with it.
    """

    id: str
    image: Stored
    text: str
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    second: Stored | None = None

    @property
    def human(self) -> bool:
        """Whether a person wrote the text: true, or 1, as JSON has them or as a word."""
        return str(self.tags.get("human")).strip().lower() in {"true", "1"}


@runtime_checkable
class Source(Protocol):
    """Pairs by number: the same number gives the same pair, in any process, every time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair: ...

    @property
    def fingerprint(self) -> str:
        """Changes when the pairs do."""
        ...


def in_order(pairs: Source | Iterable[Pair]) -> Iterator[Pair]:
    """One after the other."""
    return iter(pairs) if isinstance(pairs, Iterable) else (pairs[i] for i in range(len(pairs)))
