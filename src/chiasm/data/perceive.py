"""What is shown to a model's senses, as tensors, each a few frames long.

    picture   Looking          [1, 3, h, w]      sound             SoundProcessor   [clips, samples]
    video     Looking(5)       [5, 3, h, w]      cloud of points   CloudProcessor   [1, points, 3]

A pair says by its tag `senses` what it shows: of its `image`, and of its `second` if there is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.errors import unknown
from chiasm.core.types import Frames, Media, Points, Waves
from chiasm.data.audio import SoundProcessor
from chiasm.data.clips import Both, Clip
from chiasm.data.images import ImageProcessor
from chiasm.data.pairs import Pair, Stored, Video
from chiasm.data.points import CloudProcessor


@runtime_checkable
class Perceives(Protocol):
    """Turns one thing into frames; what is wrong with it is a `MediaError` that names `index`."""

    @property
    def numbers(self) -> int:
        """That it makes of a thing."""
        ...

    def read(self, thing: Any, /, *, index: int = 0) -> Float[Tensor, "f ..."]: ...


@dataclass(frozen=True)
class Looking:
    """Pictures, or so many of the frames of a video, at even distances."""

    images: ImageProcessor
    frames: int = 1

    @property
    def numbers(self) -> int:
        return self.frames * 3 * self.images.pixels.size**2

    def read(self, thing: Any, /, *, index: int = 0) -> Float[Tensor, "f 3 h w"]:
        match thing:
            case Clip() | Both():  # says itself how many it is
                pictures = thing.pictures(index)
            case Video(frames):
                pictures = Clip(frames, self.frames).pictures(index)
            case _:
                pictures = [thing] if self.frames == 1 else Clip(thing, self.frames).pictures(index)
        return self.images.normalise(torch.stack([self.images.read(picture, index=index) for picture in pictures]))


def shows(pair: Pair) -> Iterator[tuple[str, Stored]]:
    """What a pair shows, and to which sense."""
    things = [pair.image] if pair.second is None else [pair.image, pair.second]
    yield from zip(pair.tags.get("senses", ["image"] * len(things)), things, strict=True)


@dataclass(frozen=True)
class Senses:
    """What a `PairLoader` shows of pairs, each thing to its sense."""

    of: Mapping[str, Perceives]

    @property
    def bytes(self) -> int:
        return 4 * sum(sense.numbers for sense in self.of.values())

    def decode(self, row: int, pair: Pair) -> list[tuple[str, Tensor]]:
        return [(sense, self._sense(sense).read(thing, index=row)) for sense, thing in shows(pair)]

    def view(self, decoded: list[tuple[str, Tensor]], _rng: Random) -> list[tuple[str, Tensor]]:
        return decoded

    def together(self, views: Sequence[list[tuple[str, Tensor]]]) -> dict[str, Float[Tensor, "n f ..."]]:
        """By sense all that some rows show, in their order: what `Instructed.shown` holds."""
        found = dict[str, list[Tensor]]()
        for row, view in enumerate(views):
            for sense, frames in view:
                others = found.setdefault(sense, [])
                if others and frames.shape != others[0].shape:
                    sizes = f"{tuple(others[0].shape)}, that of row {row} {tuple(frames.shape)}"
                    raise ValueError(f"of {sense}, the first thing is {sizes}: ask for as many frames of each")
                others.append(frames)
        return {sense: torch.stack(frames) for sense, frames in found.items()}

    def _sense(self, name: str) -> Perceives:
        if name not in self.of:
            raise unknown("sense", name, self.of)
        return self.of[name]


def perceived(pairs: Sequence[Pair], senses: Mapping[str, Perceives]) -> dict[str, Float[Tensor, "n f ..."]]:
    """By sense all that some pairs show, in their order."""
    all_of = Senses(senses)
    return all_of.together([all_of.decode(row, pair) for row, pair in enumerate(pairs)])


def wanted(media: Media, images: ImageProcessor) -> Perceives:
    """What makes of things what a sense wants; `images` is how pictures are wanted."""
    match media:
        case Frames(count=count):
            return Looking(images, count)
        case Waves():
            return SoundProcessor(media.rate, media.frames, media.frame, media.hop, media.clips)
        case Points(count=count):
            return CloudProcessor(count)
