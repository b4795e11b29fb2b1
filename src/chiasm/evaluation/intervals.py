"""How far a mean could be off: by the items it was measured on, and by the seeds it was trained with."""

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def bootstrap(
    items: Float[Tensor, " n"], *, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """The interval that holds the middle `level` of the means of items drawn anew, with replacement.

    It says what other test items would have changed, and nothing of another training run. Where all
    items are equal it has no width, however few they are.
    """
    if len(items) == 0:
        raise ValueError("there are no items, so their mean has no interval")
    generator = torch.Generator().manual_seed(seed)
    values = items.double()
    picks = (torch.randint(len(values), (len(values),), generator=generator) for _ in range(draws))
    means = torch.stack([values[pick].mean() for pick in picks])
    return _middle(means, level)


def of_shares(
    counts: Sequence[tuple[int, int]],
    combine: Callable[[Sequence[float]], float],
    *,
    seed: int = 0,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval of a number that is made of shares, each known from `count[0]` hits in a sample of `count[1]`.

    Shares are drawn from what each sample leaves possible (a beta distribution, Jeffreys' prior), so that even
    a sample of hits alone leaves a doubt.
    """
    generator = np.random.default_rng(seed)
    drawn = [generator.beta(hits + 0.5, size - hits + 0.5, draws).tolist() for hits, size in counts]
    values = torch.tensor([combine(shares) for shares in zip(*drawn, strict=True)], dtype=torch.double)
    return _middle(values, level)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over seeds; a single seed has no spread, which is 0."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _middle(values: Float[Tensor, " n"], level: float) -> tuple[float, float]:
    """What holds that share of the values, leaving out as many below as above."""
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.double)
    low, high = values.quantile(edges).tolist()
    return low, high
