"""How limits bend a distribution before a token is chosen from it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chiasm.decoding.strategies import Limits


def constrain(
    scores: Float[Tensor, "n v"],
    past: Int[Tensor, "n t"],
    zero: Float[Tensor, "n 1"],
    limits: Limits,
    *,
    end: int,
    step: int,
) -> Float[Tensor, "n v"]:
    """Scores after the repetition penalty and, while texts are too short, without the end token.

    `past` holds all tokens of a row, `step` counts the new ones. `zero` is what the penalty takes for
    zero, since it depends on the sign: 0 to penalise logits, their logsumexp to penalise
    log-probabilities without computing them all.
    """
    if limits.repetition_penalty != 1.0:
        said = scores.gather(1, past) - zero
        weaker = torch.where(said < 0, said * limits.repetition_penalty, said / limits.repetition_penalty)
        scores = scores.scatter(1, past, weaker + zero)
    if step < limits.min_new_tokens:
        scores = scores.clone()  # the speaker's own tensor stays as it was
        scores[:, end] = float("-inf")
    return scores
