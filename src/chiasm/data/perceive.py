"""What is shown to a model's senses, as tensors, each a few frames long.

    picture   Looking          [1, 3, h, w]      sound             SoundProcessor   [clips, samples]
    video     Looking(5)       [5, 3, h, w]      cloud of points   CloudProcessor   [1, points, 3]

A pair says by its tag `senses` what it shows: of its `image`, and of its `second` if there is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.errors import unknown
from chiasm.data.clips import Clip
from chiasm.data.images import ImageProcessor
from chiasm.data.pairs import Pair, Stored, Video


@runtime_checkable
class Perceives(Protocol):
    """Turns one thing into frames; what is wrong with it is a `MediaError` that names `index`."""

    def read(self, thing: Any, /, *, index: int = 0) -> Float[Tensor, "f ..."]: ...


@dataclass(frozen=True)
class Looking:
    """Pictures, or so many of the frames of a video, at even distances."""

    images: ImageProcessor
    frames: int = 1

    def read(self, thing: Any, /, *, index: int = 0) -> Float[Tensor, "f 3 h w"]:
        film = thing.frames if isinstance(thing, Video) else thing
        still = self.frames == 1 and not isinstance(thing, Video)
        pictures = [thing] if still else Clip(film, self.frames).pictures(index)
        return self.images.normalise(torch.stack([self.images.read(picture, index=index) for picture in pictures]))


def shows(pair: Pair) -> Iterator[tuple[str, Stored]]:
    """What a pair shows, and to which sense."""
    things = [pair.image] if pair.second is None else [pair.image, pair.second]
    yield from zip(pair.tags.get("senses", ["image"] * len(things)), things, strict=True)


def perceived(pairs: Sequence[Pair], senses: Mapping[str, Perceives]) -> dict[str, Float[Tensor, "n f ..."]]:
    """By sense all that some pairs show, in their order: what `Instructed.shown` holds."""
    found = dict[str, list[Tensor]]()
    for index, pair in enumerate(pairs):
        for sense, thing in shows(pair):
            if sense not in senses:
                raise unknown("sense", sense, senses)
            frames = senses[sense].read(thing, index=index)
            others = found.setdefault(sense, [])
            if others and frames.shape != others[0].shape:
                sizes = f"{tuple(others[0].shape)}, that of row {index} {tuple(frames.shape)}"
                raise ValueError(f"of {sense}, the first thing is {sizes}: ask for as many frames of each")
            others.append(frames)
    return {sense: torch.stack(frames) for sense, frames in found.items()}
