"""Several pictures that count as one: two that are compared, and videos as a few of their frames.

A video is seen as BLIP sees it (arXiv:2201.12086, section 5.6): frames at even distances, each by
itself, their tokens one after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from chiasm.core.ability import Picture
from chiasm.core.errors import MediaError
from chiasm.data.images import BROKEN, QUIET
from chiasm.data.sources.hub import PICTURES


@dataclass(frozen=True)
class Both:
    """Two pictures that a statement is about."""

    left: Picture
    right: Picture

    @property
    def count(self) -> int:
        return 2

    def pictures(self, _index: int) -> Sequence[Picture]:
        return [self.left, self.right]


@dataclass(frozen=True)
class Clip:
    """A video as `count` of its frames at even distances; one that has fewer shows some longer.

    `frames` is a list of pictures, an array `[t, h, w, 3]`, a folder of pictures in the order of their
    names, or an animated GIF or WebP.
    """

    frames: Any
    count: int = 8

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count is {self.count}, and a clip needs at least 1 frame")

    def pictures(self, index: int) -> Sequence[Picture]:
        """The frames that are looked at; what cannot be read is a `MediaError` that names `index`."""
        name = str(self.frames) if isinstance(self.frames, str | Path) else "clip"
        match self.frames:
            case str() | Path() if Path(self.frames).is_dir():
                frames = sorted(path for path in Path(self.frames).iterdir() if path.suffix.lower() in PICTURES)
            case str() | Path():
                return _animated(Path(self.frames), self.count, index)
            case Iterable():
                frames = [*self.frames]
            case _:
                raise MediaError(index, name, "is no list of frames, array, folder or animated picture")
        if not frames:
            raise MediaError(index, name, "has no frames")
        return [frames[place] for place in even(len(frames), self.count)]


def even(frames: int, count: int) -> list[int]:
    """`count` places among so many, from the first on, at even distances."""
    return [i * frames // count for i in range(count)]


def views(picture: Picture) -> int:
    """How many pictures this one is."""
    return picture.count if isinstance(picture, (Both, Clip)) else 1


def together(pictures: Sequence[Picture]) -> int:
    """How many pictures each of these is, since all of a call must be as many."""
    counts = [views(picture) for picture in pictures] or [1]
    if odd := next((i for i, count in enumerate(counts) if count != counts[0]), 0):
        raise ValueError(
            f"row 0 is {counts[0]} pictures and row {odd} is {counts[odd]}: "
            "give plain pictures, or clips of as many frames, but no mixture"
        )
    return counts[0]


def apart(picture: Picture, index: int) -> Sequence[Picture]:
    """The pictures that this one is."""
    return picture.pictures(index) if isinstance(picture, (Both, Clip)) else [picture]


def _animated(path: Path, count: int, index: int) -> list[Picture]:
    """Some frames of a film; Pillow can only play it, so it is played once."""
    with QUIET:
        try:
            with Image.open(path) as film:
                frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
        except BROKEN as error:
            raise MediaError(index, str(path), f"cannot be read as frames: {error or type(error).__name__}") from error
    return [frames[place] for place in even(len(frames), count)]
