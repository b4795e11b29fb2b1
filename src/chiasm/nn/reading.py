"""How a text layer reads pictures: one of them, or two side by side (NLVR2 in BLIP, arXiv:2201.12086, figure 5).

┌─ attend to the first ───┐
words ──────┤                         ├─ average, or concatenate ─ linear ─── residual, norm
└─ attend to the second ──┘
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from chiasm.nn.attention import KV, Attention
from chiasm.nn.linear import Linear
from chiasm.nn.packing import Packing


@dataclass(frozen=True, kw_only=True)
class OnePicture:
    """Plain cross-attention, in every layer."""

    pictures: ClassVar[int] = 1

    def build(self, attention: Callable[[], Attention], _dim: int, _layer: int) -> Attention:
        return attention()


@dataclass(frozen=True, kw_only=True)
class TwoPictures:
    """A cross-attention for each picture; from layer `merges` on a linear map joins what they say."""

    pictures: ClassVar[int] = 2
    merges: int = 6

    def build(self, attention: Callable[[], Attention], dim: int, layer: int) -> "PairAttention":
        merge = Linear(2 * dim, dim) if layer >= self.merges else Average()
        return PairAttention(attention(), attention(), merge)


ONE = OnePicture()


class Average(nn.Module):
    """The mean of two vectors that lie one after the other."""

    def forward(self, both: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        return both.unflatten(-1, (2, -1)).mean(dim=-2)


class PairAttention(nn.Module):
    """Attention to two pictures of equal length, the tokens of the first before those of the second.

    It remembers and attends as `Attention` does, so whoever holds keys and values need not know.
    """

    def __init__(self, first: Attention, second: Attention, merge: nn.Linear | Average) -> None:
        super().__init__()
        self.first, self.second, self.merge = first, second, merge

    def remember(self, source: Float[Tensor, "b m c"], present: Bool[Tensor, "b m"] | None = None) -> KV:
        left, right = source.chunk(2, dim=1)
        one, other = self.first.remember(left), self.second.remember(right)
        return KV(torch.cat([one.k, other.k], dim=2), torch.cat([one.v, other.v], dim=2), present)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        kv: KV,
        mask: Bool[Tensor, "_ 1 _ m"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "b n d"]:
        left, right = (KV(k, v) for k, v in zip(kv.k.chunk(2, dim=2), kv.v.chunk(2, dim=2), strict=True))
        masks = (None, None) if mask is None else mask.chunk(2, dim=-1)
        one, other = self.first(x, left, masks[0], packing), self.second(x, right, masks[1], packing)
        return self.merge(torch.cat([one, other], dim=-1))
