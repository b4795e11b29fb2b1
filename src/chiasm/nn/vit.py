"""Vision transformer: patches in, one vector for each out, the first for the whole (arXiv:2010.11929).

picture ─ stem ─ [class | patches] + position ─ (norm ─ attend ─ + ─ norm ─ MLP ─ +) x depth ─ norm

CLIP's has one more norm before the first layer, which belongs to its stem. Where another model reads the states of
a layer before the last (BLIP-2), the norm at the end is that model's own, and the tower is `Bare`.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.nn.block import PreNormLayer, Stack
from chiasm.nn.init import normal
from chiasm.nn.linear import Conv2d
from chiasm.nn.mlp import Activation


@dataclass(frozen=True, kw_only=True)
class PatchStem:
    """The paper's stem: every patch through one linear map."""

    patch: int

    def build(self, dim: int) -> nn.Module:
        return Conv2d(3, dim, self.patch, stride=self.patch)


@dataclass(frozen=True, kw_only=True)
class NormedStem:
    """CLIP's: without bias, since patches and positions pass a norm before the layers (arXiv:2103.00020, 2.4)."""

    patch: int

    def build(self, dim: int) -> nn.Module:
        return Conv2d(3, dim, self.patch, stride=self.patch, bias=False)


@dataclass(frozen=True, kw_only=True)
class ConvStem:
    """A stack of 3x3 convolutions of stride 2 instead, which learns sooner (arXiv:2106.14881, section 4)."""

    widths: tuple[int, ...]

    @property
    def patch(self) -> int:
        return 2 ** len(self.widths)

    def build(self, dim: int) -> nn.Module:
        layers: list[nn.Module] = []
        for width, wider in zip((3, *self.widths), self.widths, strict=False):
            layers += [_he(Conv2d(width, wider, 3, stride=2, padding=1)), nn.ReLU()]
        return nn.Sequential(*layers, _he(Conv2d(self.widths[-1], dim, 1)))


@dataclass(frozen=True, kw_only=True)
class Normed:
    """All tokens pass a norm at the end."""

    def build(self, dim: int, eps: float) -> nn.Module:
        return nn.LayerNorm(dim, eps=eps)


@dataclass(frozen=True, kw_only=True)
class Bare:
    """They do not: whoever reads them brings a norm."""

    def build(self, _dim: int, _eps: float) -> nn.Module:
        return nn.Identity()


Stem = PatchStem | NormedStem | ConvStem
PATCHES, SOONER = PatchStem(patch=8), ConvStem(widths=(16, 32, 64))  # of 32 pixels: as published towers, and to learn
NORMED = Normed()


class ViT(nn.Module):
    """A plain vision transformer with a class token."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        dim: int
        depth: int
        heads: int
        image: int
        stem: Stem
        expansion: float = 4.0  # width of the MLP over that of the stream
        activation: Activation = Activation.GELU
        drop_path: float = 0.0
        end: Normed | Bare = NORMED
        eps: float = 1e-6
        std: float = 0.02

        def __post_init__(self) -> None:
            if self.image % self.stem.patch:
                raise ValueError(f"pictures of {self.image} pixels do not divide into patches of {self.stem.patch}")

        def build(self) -> "ViT":
            return ViT(self)

        def sized(self, image: int | None) -> "ViT.Config":
            """The same for pictures of another size, if one is given."""
            return self if image is None else replace(self, image=image)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.image = cfg.image
        self.stem = cfg.stem.build(cfg.dim)
        self.first = nn.Parameter(torch.empty(1, 1, cfg.dim))
        self.position = nn.Parameter(torch.empty(1, 1 + (cfg.image // cfg.stem.patch) ** 2, cfg.dim))
        self.enter = nn.LayerNorm(cfg.dim, eps=cfg.eps) if isinstance(cfg.stem, NormedStem) else nn.Identity()
        rates = [cfg.drop_path * i / max(1, cfg.depth - 1) for i in range(cfg.depth)]
        self.layers = Stack[PreNormLayer](_layer(cfg, rate) for rate in rates)
        self.norm = cfg.end.build(cfg.dim, cfg.eps)
        normal(self.layers, std=cfg.std)
        for free in (self.first, self.position):
            nn.init.trunc_normal_(free, std=max(0.02, 0.3 * cfg.std))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p d"]:
        if images.shape[-2:] != (self.image, self.image):
            raise ValueError(f"pictures of {tuple(images.shape[-2:])} pixels for a model of {self.image}")
        patches = self.stem(images).flatten(2).transpose(1, 2)
        # shape[0]: len() is a plain number to whoever traces this for other numbers of pictures
        x = torch.cat([self.first.expand(images.shape[0], -1, -1), patches], dim=1) + self.position
        x = self.enter(x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)

    def adapted(self, name: str, value: Tensor) -> Tensor:
        """Position embeddings of another picture size, resized to ours; the class token keeps its own."""
        if name != "position" or value.ndim != 3 or math.isqrt(value.shape[1] - 1) ** 2 != value.shape[1] - 1:
            return value
        return _resized(value.float(), self.position.shape[1]).to(value)


def eva_g14(*, image: int = 224) -> ViT.Config:
    """EVA-CLIP's ViT-g/14 without its last layer (arXiv:2211.07636), as BLIP-2 reads it: 986 M parameters.

    Its keys have no bias. Ours have one, which adds the same to all that a place may look at: nothing, after softmax.
    """
    return ViT.Config(
        dim=1408, depth=39, heads=16, image=image, stem=PatchStem(patch=14), expansion=6144 / 1408, end=Bare()
    )


def clip_l14(*, image: int = 224) -> ViT.Config:
    """CLIP's ViT-L/14 without its last layer (arXiv:2103.00020)."""
    return ViT.Config(
        dim=1024, depth=23, heads=16, image=image, stem=NormedStem(patch=14), activation=Activation.QUICK_GELU,
        end=Bare(), eps=1e-5,
    )  # fmt: skip


def tiny(stem: Stem = PATCHES, end: Normed | Bare = NORMED) -> ViT.Config:
    """Pictures of 32 pixels, minutes on a CPU."""
    std = 0.18  # see nn/init.py
    return ViT.Config(dim=64, depth=2, heads=2, image=32, stem=stem, end=end, eps=1e-5, std=std)


def _layer(cfg: ViT.Config, drop_path: float) -> PreNormLayer:
    hidden = round(cfg.expansion * cfg.dim)
    return PreNormLayer(cfg.dim, cfg.heads, hidden=hidden, activation=cfg.activation, eps=cfg.eps, drop_path=drop_path)


def _resized(position: Float[Tensor, "1 m d"], count: int) -> Float[Tensor, "1 n d"]:
    """Bicubic, as in BLIP's own loading code."""
    old, new = (math.isqrt(places - 1) for places in (position.shape[1], count))
    grid = position[:, 1:].unflatten(1, (old, old)).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([position[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


def _he(layer: nn.Conv2d) -> nn.Conv2d:
    """He's start: what comes out is as large as what went in (arXiv:1502.01852)."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer
