"""Matching: does this text belong to this picture? Asked where it is hard (ALBEF, arXiv:2107.07651, section 3.2)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def hard_negatives(logits: Float[Tensor, "b b"], same: Bool[Tensor, "b b"]) -> Int[Tensor, " b"]:
    """For each row a wrong column, drawn the more likely the better it scores.

    `same` marks what must not be drawn (at least the diagonal). The small constant is BLIP's: a
    softmax that underflows would leave nothing to draw. A row to which everything is the same
    draws from all others.
    """
    if len(logits) < 2:
        raise ValueError("a batch of one pair has no negatives to match against; train in batches of at least 2")
    weights = (logits.softmax(dim=1) + 1e-4).masked_fill(same, 0.0)
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    nothing = same.all(dim=1, keepdim=True)
    return torch.multinomial(torch.where(nothing & ~itself, 1.0, weights), 1).squeeze(1)


def match(logits: Float[Tensor, "n 2"], *, positives: int) -> Float[Tensor, ""]:
    """Cross-entropy where the first `positives` rows match and the rest do not."""
    truth = (torch.arange(len(logits), device=logits.device) < positives).long()
    return F.cross_entropy(logits, truth)
