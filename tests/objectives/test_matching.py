"""Hard negatives are wrong, and likelier where the score is high."""

import pytest
import torch

from chiasm.objectives.matching import hard_negatives, match


def test_what_is_the_same_is_never_drawn() -> None:
    torch.manual_seed(0)
    logits = 50 * torch.eye(4)
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    for _ in range(200):
        drawn = hard_negatives(logits, same)
        assert not same[torch.arange(4), drawn].any()


def test_draws_follow_the_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[9.0, 0.0, 1.0986, 0.0]]).repeat(4, 1)
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[:, 0] = True
    counts = torch.zeros(4)
    for _ in range(2000):
        counts[hard_negatives(logits, same)[1]] += 1
    softmax = logits[1].softmax(0) + 1e-4
    expected = softmax.masked_fill(same[1], 0) / softmax[1:].sum()
    assert (counts / 2000 - expected).abs().max() < 0.05


def test_a_batch_of_one_text_still_draws_others() -> None:
    drawn = hard_negatives(torch.zeros(3, 3), torch.ones(3, 3, dtype=torch.bool))
    assert (drawn != torch.arange(3)).all()


def test_a_batch_of_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        hard_negatives(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))


def test_match_is_cross_entropy_with_the_positives_first() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0], [3.0, 0.0]])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 0]))
    torch.testing.assert_close(match(logits, positives=1), expected)
