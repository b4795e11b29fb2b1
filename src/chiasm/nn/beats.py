"""BEATs' encoder: patches of a spectrogram through a transformer (arXiv:2212.09058, section 3.1).

    sound ─ spectrogram ─ patches of 16 frames by 16 bands ─ norm ─ linear ─ + convolution ─ norm
          ─ (attend, by distance ─ DeepNorm ─ MLP ─ DeepNorm) x depth

Positions are told twice: by a wide convolution over the sequence, and by a bias on every score that depends on
how far apart two tokens are, the same in all layers, weighed by gates that look at who asks (WavLM,
arXiv:2110.13900, section 3.2). Unlike WavLM's, BEATs' gates read the query, not what the query is made from.

Tokens come in the order of time, the bands of a moment one after the other.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from chiasm.nn.block import PostNorm, Stack
from chiasm.nn.distances import Distances, both_ways
from chiasm.nn.init import normal
from chiasm.nn.linear import Conv2d, Linear
from chiasm.nn.mlp import MLP
from chiasm.nn.spectrogram import Spectrogram


class NearBy(nn.Module):
    """Adds to every token what a convolution makes of those around it: where it is, in relative terms."""

    def __init__(self, dim: int, *, kernel: int, groups: int) -> None:
        super().__init__()
        conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=groups)
        nn.init.normal_(conv.weight, std=math.sqrt(4 / (kernel * dim)))
        self.conv = weight_norm(conv, dim=2)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        near = self.conv(x.transpose(1, 2))[..., : x.shape[1]]  # an even kernel makes one too many
        return x + F.gelu(near).transpose(1, 2)


class GatedAttention(nn.Module):
    """Self-attention whose bias by distance every query weighs by two gates, one within the other."""

    def __init__(self, dim: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not divisible by heads {heads}")
        self.heads, self.dropout = heads, dropout
        self.q, self.k, self.v, self.out = (Linear(dim, dim) for _ in range(4))
        self.gate = Linear(dim // heads, 8)  # four terms each, which are added up
        self.scale = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, x: Float[Tensor, "b n d"], bias: Float[Tensor, "1 h n n"]) -> Float[Tensor, "b n d"]:
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        outer, inner = self.gate(q).unflatten(-1, (2, 4)).sum(dim=-1).sigmoid().chunk(2, dim=-1)
        weight = 1.0 + outer * inner * self.scale + (1.0 - outer)
        dropout = self.dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=weight * bias, dropout_p=dropout)
        return self.out(read.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attend, then think, each added to a stream that weighs more than they do."""

    def __init__(self, cfg: "BEATs.Config") -> None:
        super().__init__()
        shape = {"eps": cfg.eps, "dropout": cfg.dropout, "residual": cfg.residual}
        self.attend = PostNorm(GatedAttention(cfg.dim, cfg.heads, dropout=cfg.dropout), cfg.dim, **shape)
        self.mlp = PostNorm(MLP(cfg.dim, 4 * cfg.dim), cfg.dim, **shape)

    def forward(self, x: Float[Tensor, "b n d"], bias: Float[Tensor, "1 h n n"]) -> Float[Tensor, "b n d"]:
        return self.mlp(self.attend(x, bias))


class BEATs(nn.Module):
    """Sounds in, one vector for each patch of their spectrograms out; the sizes are those of the published model."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        sound: Spectrogram = field(default_factory=Spectrogram)
        dim: int = 768
        depth: int = 12
        heads: int = 12
        patch: int = 16
        stem: int = 512  # width of a patch before it enters the stream
        kernel: int = 128  # tokens that the convolution spans
        groups: int = 16
        buckets: int = 320
        reach: int = 800
        dropout: float = 0.0
        eps: float = 1e-5

        def __post_init__(self) -> None:
            if self.sound.mels % self.patch:
                raise ValueError(f"{self.sound.mels} mel bands do not divide into patches of {self.patch}")

        def build(self) -> "BEATs":
            return BEATs(self)

        @property
        def residual(self) -> float:
            """DeepNorm's weight of the stream in an encoder (arXiv:2203.00555, section 4)."""
            return (2 * self.depth) ** 0.25

        def tokens(self, samples: int) -> int:
            """How many vectors a sound becomes; frames that fill no patch are left out."""
            return self.sound.frames(samples) // self.patch * (self.sound.mels // self.patch)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.sound, self.patch = cfg.sound, cfg.patch
        self.stem = Conv2d(1, cfg.stem, cfg.patch, stride=cfg.patch, bias=False)
        self.stem_norm = nn.LayerNorm(cfg.stem, eps=cfg.eps)
        self.enter = Linear(cfg.stem, cfg.dim)
        self.near = NearBy(cfg.dim, kernel=cfg.kernel, groups=cfg.groups)
        self.norm = nn.LayerNorm(cfg.dim, eps=cfg.eps)
        self.distances = Distances(cfg.heads, buckets=cfg.buckets, reach=cfg.reach, kind=both_ways)
        self.layers = Stack[Layer](Layer(cfg) for _ in range(cfg.depth))
        normal(self, std=0.02)
        _deep(self.layers)

    def forward(self, sound: Float[Tensor, "b n"]) -> Float[Tensor, "b p d"]:
        return self.see(self.sound(sound))

    def see(self, frames: Float[Tensor, "b t m"]) -> Float[Tensor, "b p d"]:
        """The same from the spectrogram on."""
        if frames.shape[1] < self.patch:
            raise ValueError(f"spectrograms of {frames.shape[1]} frames for patches of {self.patch}")
        patches = self.stem(frames[:, None].to(self.stem.weight.dtype)).flatten(2).transpose(1, 2)
        x = self.norm(self.near(self.enter(self.stem_norm(patches))))
        places = torch.arange(x.shape[1], device=x.device)
        bias = self.distances(places, places, None)
        for layer in self.layers:
            x = layer(x, bias)
        return x


def tiny() -> BEATs.Config:
    """Short sounds, minutes on a CPU."""
    return BEATs.Config(dim=64, depth=2, heads=2, stem=64, kernel=16, groups=4, buckets=32, reach=64)


def _deep(layers: Stack[Layer]) -> None:
    """DeepNorm's start: what a layer adds to the stream is the smaller the deeper the stack."""
    small = (8 * len(layers)) ** -0.25
    for layer in layers:
        attend, mlp = layer.attend.f, layer.mlp.f
        for linear in (attend.q, attend.k):
            nn.init.xavier_normal_(linear.weight)
        for linear in (attend.v, attend.out, mlp.up, mlp.down):
            nn.init.xavier_normal_(linear.weight, gain=small)
