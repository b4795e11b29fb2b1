"""Contrast: every picture finds its text among others, every text its picture."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def soft_targets(
    slow: Float[Tensor, "b k"], positives: Bool[Tensor, "b k"], *, trust: Float[Tensor, ""] | float
) -> Float[Tensor, "b k"]:
    """What a slow twin believes, mixed into the labels: ALBEF's distillation (arXiv:2107.07651, section 3.4).

    `trust` is the paper's alpha.
    """
    return trust * slow.softmax(dim=1) + (1 - trust) * shared_labels(positives)


def shared_labels(positives: Bool[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """The label of a row, shared equally among its positives; one positive is CLIP's (arXiv:2103.00020, figure 3)."""
    return positives / positives.sum(dim=1, keepdim=True)


def contrast(logits: Float[Tensor, "b k"], targets: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Cross-entropy of one direction against soft targets."""
    return F.cross_entropy(logits, targets)
