"""A world that is learned in seconds, and a loop that learns it: for those who want to see that pictures matter."""

from dataclasses import replace

import torch
from torch import nn

from chiasm.core.types import ImageText, Text


def colours(rows: int, rng: torch.Generator) -> ImageText:
    """A flat colour of two channels, and two words that name their strengths."""
    level = torch.randint(4, (rows, 2), generator=rng)
    images = torch.zeros(rows, 3, 32, 32)
    images[:, :2] = (level / 1.5 - 1)[:, :, None, None]
    ends = [torch.full((rows, 1), token) for token in (2, 3)]
    ids = torch.cat([ends[0], 10 + level[:, :1], 20 + level[:, 1:], ends[1]], dim=1)
    return ImageText(images, Text(ids, torch.ones_like(ids, dtype=torch.bool)), level[:, 0] * 4 + level[:, 1])


def learned(
    model: nn.Module, optimiser: torch.optim.Optimizer, rng: torch.Generator, *, steps: int, rows: int, shuffled: bool
) -> dict[str, float]:
    """The losses of the last ten steps, each its mean; the pictures of a batch may be `shuffled`."""
    last = list[dict[str, float]]()
    for _ in range(steps):
        batch = colours(rows, rng)
        if shuffled:
            batch = replace(batch, images=batch.images[torch.randperm(rows, generator=rng)])
        losses = model(batch)
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        last.append({name: loss.item() for name, loss in losses.items()})
    return {name: sum(losses[name] for losses in last[-10:]) / 10 for name in last[0]}
