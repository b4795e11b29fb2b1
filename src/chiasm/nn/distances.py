"""How far apart two places are, as something that is added to attention's scores (T5, arXiv:1910.10683, section 2.1).

    distance, backwards      0  1  2  3  4  5  6  7  9  10  12  400        8 buckets, all beyond 12 is equally far
    bucket                   0  1  2  3  4  4  5  6  6   7   7    7

Every bucket has a learned number for each head. Who looks both ways has half of the buckets for what lies ahead.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Buckets = Callable[[Tensor, int, int], Tensor]  # offsets, how many buckets, from where on all is far -> buckets


def both_ways(offset: Int[Tensor, "*n"], buckets: int, reach: int) -> Int[Tensor, "*n"]:
    """Half of the buckets for what comes before, half for what comes after."""
    half = buckets // 2
    return backwards(-offset.abs(), half, reach) + half * (offset > 0)


def backwards(offset: Int[Tensor, "*n"], buckets: int, reach: int) -> Int[Tensor, "*n"]:
    """Half of the buckets hold one distance each, the others ever wider ranges up to `reach`, the last all beyond."""
    distance, near = (-offset).clamp(min=0), buckets // 2
    wide = torch.log(distance.clamp(min=near).float() / near) / math.log(reach / near) * (buckets - near)
    return torch.where(distance < near, distance, (near + wide.long()).clamp(max=buckets - 1))


class Distances(nn.Module):
    """What every head adds to the score of two places that are so far apart."""

    def __init__(self, heads: int, *, buckets: int, reach: int, kind: Buckets) -> None:
        super().__init__()
        self.bias = nn.Embedding(buckets, heads)
        self.reach, self.kind = reach, kind

    def forward(
        self, rows: Int[Tensor, " n"], columns: Int[Tensor, " m"], allowed: Bool[Tensor, "#b 1 #n m"] | None
    ) -> Float[Tensor, "#b h n m"]:
        """For the places `rows` that look at `columns`; minus infinity where they must not."""
        bucket = self.kind(columns[None] - rows[:, None], self.bias.num_embeddings, self.reach)
        bias = self.bias(bucket).permute(2, 0, 1)[None]
        return bias if allowed is None else torch.where(allowed, bias, float("-inf"))
