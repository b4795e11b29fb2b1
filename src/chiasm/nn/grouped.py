"""Attention of a decoder: few heads of keys and values serve many of queries, and what is given is read once for all.

    queries    0 1 2 3 4 5 6 7        GQA (arXiv:2305.13245): each pair of keys and values serves a group
    keys       0 0 0 0 1 1 1 1

    given      [image image a photo of]        one copy for all texts about it
    said          ├─ [a cat]                   each text its own few
                  └─ [two dogs]

Beams about one picture never copy what they were given: a step reads both parts and takes one softmax over them
(twice as fast as one row of keys a beam, which grows and is copied: measured at 40 given, 5 beams).
"""

from enum import Enum, auto

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.nn.attention import KV
from chiasm.nn.linear import Linear
from chiasm.nn.position import Turn


class Biases(Enum):
    """Which projections add one."""

    NONE = auto()  # LLaMA, Mistral
    READING = auto()  # of queries, keys and values: Qwen2
    ALL = auto()  # OPT, GPT-2


class GroupedAttention(nn.Module):
    """Scaled dot-product attention whose keys may be turned (`nn/position.py`) and shared by groups of heads."""

    def __init__(self, dim: int, heads: int, *, kv_heads: int, biases: Biases) -> None:
        super().__init__()
        if dim % heads or heads % kv_heads:
            raise ValueError(f"dim {dim} must divide into {heads} heads, and those into {kv_heads} of keys and values")
        self.heads, self.kv_heads = heads, kv_heads
        reads, ends = biases is not Biases.NONE, biases is Biases.ALL
        self.q = Linear(dim, dim, bias=reads)
        self.k = Linear(dim, dim * kv_heads // heads, bias=reads)
        self.v = Linear(dim, dim * kv_heads // heads, bias=reads)
        self.out = Linear(dim, dim, bias=ends)

    def remember(self, x: Float[Tensor, "b n d"], turn: Turn | None, past: KV | None = None) -> KV:
        """Keys and values of these places, after those of the `past`."""
        k, v = _turned(_split(self.k(x), self.kv_heads), turn), _split(self.v(x), self.kv_heads)
        return KV(k, v) if past is None else KV(torch.cat([past.k, k], dim=2), torch.cat([past.v, v], dim=2))

    def forward(
        self, x: Float[Tensor, "b n d"], turn: Turn | None, kv: KV, mask: Bool[Tensor, "#b 1 n n"]
    ) -> Float[Tensor, "b n d"]:
        """Of a whole sequence to itself."""
        q, grouped = _turned(_split(self.q(x), self.heads), turn), self.heads > self.kv_heads
        read = F.scaled_dot_product_attention(q, kv.k, kv.v, attn_mask=mask, enable_gqa=grouped)
        return self.out(read.transpose(1, 2).flatten(2))

    def beside(
        self,
        x: Float[Tensor, "n t d"],
        turn: Turn | None,
        given: KV,
        said: KV,
        mask: Bool[Tensor, "n 1 t m"] | None,
    ) -> Float[Tensor, "n t d"]:
        """Of new words to what was `given`, which rows side by side share, and to what their own row has `said`."""
        k, t, m = len(x) // len(given.k), x.shape[1], given.k.shape[2]
        q = _turned(_split(self.q(x), self.heads), turn)
        q = (q * q.shape[-1] ** -0.5).unflatten(1, (self.kv_heads, -1))  # n, kv_heads, group, t, e
        shared = _together(q, k) @ given.k.transpose(-1, -2)
        own = q.flatten(2, 3) @ said.k.transpose(-1, -2)
        scores = torch.cat([_apart(shared, k, t), own.unflatten(2, (-1, t))], dim=-1).float()
        if mask is not None:
            scores = scores.masked_fill(~mask[:, :, None], float("-inf"))
        weights = scores.softmax(dim=-1).to(q.dtype)
        read = _apart(_together(weights[..., :m], k) @ given.v, k, t)
        read = read + (weights[..., m:].flatten(2, 3) @ said.v).unflatten(2, (-1, t))
        return self.out(read.flatten(1, 2).transpose(1, 2).flatten(2))


def _split(x: Float[Tensor, "b n d"], heads: int) -> Float[Tensor, "b h n e"]:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _turned(x: Float[Tensor, "b h n e"], turn: Turn | None) -> Float[Tensor, "b h n e"]:
    return x if turn is None else turn(x)


def _together(x: Float[Tensor, "n h g t e"], k: int) -> Float[Tensor, "b h m e"]:
    """What `k` rows ask of the same keys, as one longer row."""
    return x.unflatten(0, (-1, k)).transpose(1, 2).flatten(2, 4)


def _apart(x: Float[Tensor, "b h m e"], k: int, t: int) -> Float[Tensor, "n h g t e"]:
    """And back."""
    return x.unflatten(2, (k, -1, t)).transpose(1, 2).flatten(0, 1)
