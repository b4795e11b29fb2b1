"""Other views of a picture, for training: squares in, smaller squares out."""

import math
from dataclasses import dataclass
from random import Random
from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor

from chiasm.data.images import resize


@runtime_checkable
class Augment(Protocol):
    """Draws a view of a picture; all of its chance comes from `rng`."""

    def room(self, size: int) -> int:
        """The side of the squares it cuts from, for views of `size`."""
        ...

    def __call__(self, square: UInt8[Tensor, "3 r r"], size: int, rng: Random) -> UInt8[Tensor, "3 s s"]: ...


@dataclass(frozen=True)
class RandomResizedCrop:
    """A part of the picture, by its share of the area and its proportions.

    No flip: captions tell left from right.
    """

    scale: tuple[float, float] = (0.5, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"scale {self.scale} should rise within 0..1, and ratio {self.ratio} above 0")

    def room(self, size: int) -> int:
        """Enough that the smallest crop is not blown up."""
        return math.ceil(size / math.sqrt(self.scale[0]))

    def __call__(self, square: UInt8[Tensor, "3 r r"], size: int, rng: Random) -> UInt8[Tensor, "3 s s"]:
        side = square.shape[1]
        area = rng.uniform(*self.scale) * side * side
        ratio = math.exp(rng.uniform(*map(math.log, self.ratio)))
        width = max(1, min(side, round(math.sqrt(area * ratio))))
        height = max(1, min(side, round(math.sqrt(area / ratio))))
        left, top = rng.randint(0, side - width), rng.randint(0, side - height)
        crop = square[:, top : top + height, left : left + width]
        return resize(crop.permute(1, 2, 0).numpy(), size).contiguous()
