"""Layers that compute twice and remember less: gradient checkpointing (arXiv:1604.06174).

    forward     x0 ─ layer ─ x1 ─ layer ─ x2         only x0, x1, x2 are kept
    backward           x1 ─ layer, once more ─ its gradient ─ x0 ─ ...

A change of what runs, not of what is: names, weights and numbers stay. Without gradients nothing is done twice.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(layers: Iterable[nn.Module]) -> None:
    """From now on the insides of each of these layers are computed again when gradients need them.

    Layers of a frozen model too: gradients that pass through it need its insides as well.
    """
    for layer in layers:
        layer.forward = _Twice(layer.forward)


class _Twice:
    """A layer's forward, by way of torch's checkpoints wherever something is learned."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*given, **named)
        return checkpoint(self.forward, *given, use_reentrant=False, **named)
