"""What a penalty and a ban do to one row."""

import pytest
import torch

from chiasm.decoding.constraints import constrain
from chiasm.decoding.strategies import Limits


def test_a_penalty_weakens_what_was_said_and_nothing_else() -> None:
    scores, past = torch.tensor([[2.0, -2.0, 4.0, -1.0]]), torch.tensor([[0, 1, 1]])
    bent = constrain(scores, past, torch.zeros(1, 1), Limits(5, repetition_penalty=2.0), end=3, step=0)
    assert bent.tolist() == [[1.0, -4.0, 4.0, -1.0]]


def test_the_end_is_banned_until_the_text_is_long_enough() -> None:
    scores, past = torch.zeros(1, 3), torch.zeros(1, 1, dtype=torch.long)
    bent = [
        constrain(scores, past, torch.zeros(1, 1), Limits(5, min_new_tokens=2), end=1, step=step) for step in range(3)
    ]
    assert [row[0, 1].item() for row in bent] == [float("-inf"), float("-inf"), 0.0]


@pytest.mark.parametrize("penalty", [0.5, 1.0, 3.0])
def test_counting_from_the_logsumexp_is_penalising_log_probabilities(penalty: float) -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    past, limits = torch.tensor([[0, 2], [3, 3], [8, 1], [4, 5]]), Limits(5, repetition_penalty=penalty)
    total = logits.logsumexp(dim=1, keepdim=True)
    bent = constrain(logits, past, total, limits, end=1, step=0) - total
    zero = torch.zeros(4, 1)
    torch.testing.assert_close(bent, constrain(logits.log_softmax(dim=1), past, zero, limits, end=1, step=0))
