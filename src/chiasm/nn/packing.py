"""Texts of different lengths in one row, without their padding.

    a red ball ·
    two · · ·           ⇄   a red ball two a dog sits down
    a dog sits down

What works word by word (linear maps, norms) takes the row and computes nothing for padding; only attention
needs the texts apart.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Which places hold words: `mask` is True there, and every text has at least one."""

    mask: Bool[Tensor, "b t"]
    places: Int[Tensor, " m"]  # of the words, among all

    @staticmethod
    def of(mask: Bool[Tensor, "b t"]) -> "Packing":
        return Packing(mask, mask.flatten().nonzero().squeeze(1))

    def pack(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "1 m d"]:
        return x.flatten(0, 1)[self.places][None]

    def unpack(self, x: Float[Tensor, "1 m d"]) -> Float[Tensor, "b t d"]:
        """Zeros where no word is."""
        apart = x.new_zeros(self.mask.numel(), x.shape[-1]).index_copy(0, self.places, x[0])
        return apart.unflatten(0, self.mask.shape)
