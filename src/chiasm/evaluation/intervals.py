"""How far a mean could be off: by the items it was measured on, and by the seeds it was trained with."""

import statistics
from collections.abc import Sequence

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
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.double)
    low, high = means.quantile(edges).tolist()
    return low, high


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) over seeds; a single seed has no spread, which is 0."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
