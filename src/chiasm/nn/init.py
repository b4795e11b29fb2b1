"""Where weights start from."""

from torch import nn


def normal(module: nn.Module, *, std: float) -> None:
    """BERT's and ViT's start: truncated normal weights, zero biases, norms at identity.

    Both papers use 0.02 at width 768, which is `1 / sqrt(3 * 768)`; narrower models keep the same
    size of activations with `1 / sqrt(3 * dim)`.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding | nn.Conv2d):
            nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
        if isinstance(part, nn.Linear | nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)
