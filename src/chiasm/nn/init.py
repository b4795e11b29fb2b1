"""Where weights start from."""

from collections.abc import Sequence

from torch import nn

from chiasm.nn.block import PreNormLayer


def normal(module: nn.Module, *, std: float) -> None:
    """BERT's and ViT's start: truncated normal weights, zero biases, norms at identity.

    Both papers use 0.02 at width 768, about `0.55 / sqrt(dim)`. What a layer adds is then small beside
    what passes it by, so all pictures, and all texts, begin almost alike, and contrast needs long
    to tell them apart. Small models that have no time for that start at `1.4 / sqrt(dim)`
    (measured: docs/demo.md).
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding | nn.Conv2d):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)


def deep(layers: Sequence[PreNormLayer], *, dim: int) -> None:
    """CLIP's start of its text tower: the deeper the stack, the less each layer adds to the stream at first."""
    added = (2 * len(layers) * dim) ** -0.5
    for layer in layers:
        attend, mlp = layer.attend, layer.mlp
        stds = {attend.q: dim**-0.5, attend.k: dim**-0.5, attend.v: dim**-0.5, attend.out: added}
        for linear, std in (stds | {mlp.up: (2 * dim) ** -0.5, mlp.down: added}).items():
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)
