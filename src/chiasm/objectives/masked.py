"""Masked words: say what stood there (BERT, arXiv:1810.04805, 3.1; beside a picture in arXiv:2107.07651, 3.2)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SHARE = 0.15  # of the words are asked for
MASKED, REPLACED = 0.8, 0.1  # of these; the rest stays as it is


def masked(
    ids: Int[Tensor, "b t"], may: Bool[Tensor, "b t"], noise: Float[Tensor, "b t 2"], *, mask: int, vocab: int
) -> tuple[Int[Tensor, "b t"], Bool[Tensor, "b t"]]:
    """The text with some words hidden, and True where one is asked for: only where it `may` be.

    `noise` is uniform in [0, 1): the first number of a word decides what becomes of it, the second
    which word takes its place.
    """
    fate, other = noise.unbind(-1)
    asked = may & (fate < SHARE)
    hidden = ids.masked_fill(asked & (fate < MASKED * SHARE), mask)
    replaced = asked & (fate >= MASKED * SHARE) & (fate < (MASKED + REPLACED) * SHARE)
    return torch.where(replaced, (other * vocab).long(), hidden), asked
