"""Where a word stands, for stacks that only look back: learned vectors, or turned queries and keys.

    Learned    word + row of a table                      OPT (two rows in front are never used), GPT-2
    Rotary     q, k turned by an angle for each pair      RoPE (arXiv:2104.09864): LLaMA and all after it

A turn moves the product of a query and a key by the distance between them, wherever both stand. Pairs of numbers
turn at rates from 1 down to about `1 / theta`; LLaMA 3.1 slows those down that turn less than once in the texts
of its first training (`Slowing`).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Turn(NamedTuple):
    """Cosine and sine of every pair's angle, at every place."""

    cos: Float[Tensor, "b 1 n e"]
    sin: Float[Tensor, "b 1 n e"]

    def __call__(self, x: Float[Tensor, "b h n e"]) -> Float[Tensor, "b h n e"]:
        """Pairs are a number of the first half and its fellow in the second, as LLaMA's files have them."""
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin


class LearnedPositions(nn.Module):
    """A vector for every place."""

    def __init__(self, cfg: "Learned", dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(cfg.unused + cfg.max_len, dim)
        self.unused = cfg.unused

    def forward(self, x: Float[Tensor, "b n d"], places: Int[Tensor, "b n"]) -> tuple[Float[Tensor, "b n d"], None]:
        return x + self.table(places + self.unused), None


class RotaryPositions(nn.Module):
    """Nothing to learn and nothing to keep: angles are computed where they are needed, in fp32."""

    def __init__(self, cfg: "Rotary", width: int) -> None:
        super().__init__()
        self.cfg, self.width = cfg, width

    def forward(self, x: Float[Tensor, "b n d"], places: Int[Tensor, "b n"]) -> tuple[Float[Tensor, "b n d"], Turn]:
        angles = places[:, None, :, None].float() * self.cfg.rates(self.width, places.device)
        angles = torch.cat([angles, angles], dim=-1)
        return x, Turn(angles.cos().to(x.dtype), angles.sin().to(x.dtype))


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Places of a table, whose first `unused` rows belong to none (2 in OPT)."""

    max_len: int
    unused: int = 0

    def build(self, dim: int) -> LearnedPositions:
        return LearnedPositions(self, dim)


@dataclass(frozen=True, kw_only=True)
class Slowing:
    """LLaMA 3.1's, for texts longer than the `trained` ones: slow turns `factor` times slower, the quick as they were.

    Slow is what turns less than `slow` times in a trained text, quick what turns more than `quick` times.
    """

    factor: float
    slow: float
    quick: float
    trained: int

    def __call__(self, rates: Float[Tensor, " e"]) -> Float[Tensor, " e"]:
        turns = self.trained * rates / (2 * math.pi)
        kept = ((turns - self.slow) / (self.quick - self.slow)).clamp(0, 1)
        return kept * rates + (1 - kept) * rates / self.factor


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Turns by place; `max_len` is what the model was trained for."""

    max_len: int
    theta: float = 10_000.0
    slowing: Slowing | None = None

    def rates(self, width: int, device: torch.device) -> Float[Tensor, " e"]:
        """How far each pair turns from one place to the next."""
        rates = self.theta ** (-torch.arange(0, width, 2, device=device).float() / width)
        return rates if self.slowing is None else self.slowing(rates)

    def build(self, width: int) -> RotaryPositions:
        """For heads of that width."""
        return RotaryPositions(self, width)
