"""Norms as values: which one a stack uses is a part of its config.

LayerNorm    (x - mean) / std * weight + bias          arXiv:1607.06450: BERT, ViT, OPT, GPT-2
RMSNorm      x / root of the mean square * weight      arXiv:1910.07467: T5, LLaMA and all after it
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Only the scale is taken out, and it is measured in fp32 whatever the stream's precision."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        eps: float = 1e-6

        def build(self, dim: int) -> "RMSNorm":
            return RMSNorm(dim, eps=self.eps)

    def __init__(self, dim: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)).to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """torch's, with a config."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        eps: float = 1e-5

        def build(self, dim: int) -> "LayerNorm":
            return LayerNorm(dim, eps=self.eps)
