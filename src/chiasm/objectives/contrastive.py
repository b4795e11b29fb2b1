"""Contrast: every picture finds its text among others, every text its picture.

A picture has one unit vector, or several (BLIP-2's queries), of which a text meets the nearest.
"""

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


def smoothed(targets: Float[Tensor, "b k"], smoothing: float) -> Float[Tensor, "b k"]:
    """A share of the label for everyone alike (arXiv:1512.00567, section 7)."""
    return (1 - smoothing) * targets + smoothing / targets.shape[1]


def cosines(images: Float[Tensor, "n *q d"], texts: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Every picture with every text; of a picture's vectors the nearest counts (BLIP-2, arXiv:2301.12597, 3.1)."""
    return (_several(images) @ texts.T).amax(dim=1)


def cosines_of_pairs(images: Float[Tensor, "n *q d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """The same of picture `i` and text `i` only."""
    return (_several(images) * texts[:, None]).sum(dim=-1).amax(dim=1)


def contrast(logits: Float[Tensor, "b k"], targets: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Cross-entropy of one direction against soft targets."""
    return F.cross_entropy(logits, targets)


def _several(images: Float[Tensor, "n *q d"]) -> Float[Tensor, "n q d"]:
    """One vector as a list of one; not by `reshape`, which cannot tell lengths where there are no rows."""
    return images.flatten(1).unflatten(1, (-1, images.shape[-1]))
