"""AdamW, its learning rate as a function of the step, and the clip of its gradients."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up to `peak`, then half a cosine down to `floor`; counted in steps, not epochs."""

    steps: int
    peak: float
    floor: float = 0.0
    warmup: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ...; it would reach `floor` at `steps`."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        gone = (step - self.warmup) / (self.steps - self.warmup)
        return self.floor + (self.peak - self.floor) * (1 + math.cos(math.pi * gone)) / 2


def adamw(groups: list[dict[str, Any]], *, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW in one kernel for all parameters (arXiv:1711.05101)."""
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def clip(parameters: Iterable[nn.Parameter], *, limit: float) -> Tensor:
    """Scale all gradients so that their joint norm is at most `limit`; return the norm there was."""
    return nn.utils.clip_grad_norm_(parameters, limit, foreach=True)
