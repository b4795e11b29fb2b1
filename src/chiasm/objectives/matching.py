"""Matching: does this text belong to this picture? Asked where it is hard (ALBEF, arXiv:2107.07651, section 3.2)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def hard_negatives(
    logits: Float[Tensor, "b k"], same: Bool[Tensor, "b k"], noise: Float[Tensor, "b k"], *, first: int = 0
) -> Int[Tensor, " b"]:
    """For each row a wrong column, drawn the more likely the better it scores.

    `same` marks what must not be drawn (at least the pair itself: column `first` of the first row, and
    so on). `noise` is drawn from Exp(1) by the caller; the largest ratio of weight and noise is then a
    draw by weight, as in `torch.multinomial`. The small constant is BLIP's: a softmax that underflows
    would leave nothing to draw. A row to which everything is the same draws from all others.
    """
    if logits.shape[1] < 2:
        raise ValueError("a batch of one pair has no negatives to match against; train in batches of at least 2")
    weights = (logits.softmax(dim=1) + 1e-4).masked_fill(same, 0.0)
    itself = torch.eye(*logits.shape, dtype=torch.bool, device=logits.device).roll(first, dims=1)
    nothing = same.all(dim=1, keepdim=True)
    return (torch.where(nothing & ~itself, 1.0, weights) / noise).argmax(dim=1)


def match(logits: Float[Tensor, "n 2"], *, positives: int) -> Float[Tensor, ""]:
    """Cross-entropy where the first `positives` rows match and the rest do not."""
    truth = (torch.arange(len(logits), device=logits.device) < positives).long()
    return F.cross_entropy(logits, truth)


def choose(logits: Float[Tensor, "b l"], label: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean cross-entropy where each row has one right label."""
    return F.cross_entropy(logits, label)
