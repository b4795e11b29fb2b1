"""CapFilt's filter as a classifier of texts, where it is known which are right (arXiv:2201.12086, 3.3).

`probability` is that of a match, `right` says whether the text is true of its picture, and a text is
kept when its probability is at least the threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

THRESHOLD = 0.5  # where the matching head says "match"


@dataclass(frozen=True)
class Kept:
    """How many texts there were of a kind, and how many the filter kept."""

    total: int
    kept: int


def precision(probability: Float[Tensor, " n"], right: Bool[Tensor, " n"], threshold: float = THRESHOLD) -> float:
    """The share of what is kept that is right; 1 where nothing is kept, so nothing wrong is."""
    kept = probability >= threshold
    return (right & kept).sum().item() / kept.sum().item() if kept.any() else 1.0


def sensitivity(probability: Float[Tensor, " n"], right: Bool[Tensor, " n"], threshold: float = THRESHOLD) -> float:
    """The recall of the filter: the share of what is right that is kept; 1 where nothing is right."""
    kept = probability >= threshold
    return (right & kept).sum().item() / right.sum().item() if right.any() else 1.0


def roc(probability: Float[Tensor, " n"], right: Bool[Tensor, " n"]) -> tuple[tuple[float, float], ...]:
    """(share of wrong kept, share of right kept) from the strictest threshold to none at all.

    Texts of equal probability come in together. Points on a straight line between two others are
    left out: the curve and the area below it are the same without them.
    """
    wrong_kept, right_kept = _kept_by_threshold(probability, right)
    corner = torch.ones_like(wrong_kept, dtype=torch.bool)
    if len(corner) > 2:
        x, y = wrong_kept.diff(), right_kept.diff()
        corner[1:-1] = x[:-1] * y[1:] != x[1:] * y[:-1]
    x, y = wrong_kept[corner] / wrong_kept[-1], right_kept[corner] / right_kept[-1]
    return tuple(zip(x.tolist(), y.tolist(), strict=True))


def auc(probability: Float[Tensor, " n"], right: Bool[Tensor, " n"]) -> float:
    """How likely a right text scores above a wrong one, equal scores counting half: the area below `roc`."""
    _require_both(right)
    good, bad = probability[right], probability[~right].sort().values.contiguous()
    below = torch.searchsorted(bad, good.contiguous(), right=False)
    not_above = torch.searchsorted(bad, good.contiguous(), right=True)
    return ((below + not_above).sum().item() / 2) / (len(good) * len(bad))


def by_kind(probability: Float[Tensor, " n"], kinds: Sequence[str], threshold: float = THRESHOLD) -> dict[str, Kept]:
    """What becomes of each kind of noise; "" is no noise."""
    kept: Mapping[str, list[bool]] = {kind: [] for kind in sorted(set(kinds))}
    for kind, value in zip(kinds, probability.tolist(), strict=True):
        kept[kind].append(value >= threshold)
    return {kind: Kept(total=len(items), kept=sum(items)) for kind, items in kept.items()}


def histogram(probability: Float[Tensor, " n"], bins: int = 20) -> tuple[int, ...]:
    """Counts in equal bins from 0 to 1; 1 itself belongs to the last."""
    places = (probability.double() * bins).long().clamp(0, bins - 1)
    return tuple(torch.bincount(places, minlength=bins).tolist())


def _kept_by_threshold(
    probability: Float[Tensor, " n"], right: Bool[Tensor, " n"]
) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
    """Counts of wrong and right texts kept at each distinct threshold, the first of which keeps none."""
    _require_both(right)
    values, order = probability.sort(descending=True)
    last = torch.ones(len(values), dtype=torch.bool)
    last[:-1] = values[1:] != values[:-1]
    counts = [side[order].cumsum(0)[last] for side in (~right, right)]
    wrong, good = (torch.cat([count.new_zeros(1), count]).double() for count in counts)
    return wrong, good


def _require_both(right: Bool[Tensor, " n"]) -> None:
    if right.all() or not right.any():
        raise ValueError(f"a ROC needs right and wrong texts, but of {len(right)} texts {int(right.sum())} are right")
