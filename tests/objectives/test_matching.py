"""Hard negatives are wrong, and likelier where the score is high."""

import pytest
import torch
from torch import Tensor

from chiasm.objectives.matching import choose, hard_negatives, match


def _noise(rows: int) -> Tensor:
    return torch.empty(rows, rows).exponential_()


def test_what_is_the_same_is_never_drawn() -> None:
    torch.manual_seed(0)
    logits = 50 * torch.eye(4)
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    for _ in range(200):
        drawn = hard_negatives(logits, same, _noise(4))
        assert not same[torch.arange(4), drawn].any()


def test_draws_follow_the_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[9.0, 0.0, 1.0986, 0.0]]).repeat(4, 1)
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[:, 0] = True
    counts = torch.zeros(4)
    for _ in range(2000):
        counts[hard_negatives(logits, same, _noise(4))[1]] += 1
    softmax = logits[1].softmax(0) + 1e-4
    expected = softmax.masked_fill(same[1], 0) / softmax[1:].sum()
    assert (counts / 2000 - expected).abs().max() < 0.05


def test_draws_are_those_of_multinomial_to_the_bit() -> None:
    logits, same = 3 * torch.randn(40, 40), torch.eye(40, dtype=torch.bool)
    weights = (logits.softmax(1) + 1e-4).masked_fill(same, 0.0)
    for seed in range(20):
        torch.manual_seed(seed)
        expected = torch.multinomial(weights, 1)[:, 0]
        torch.manual_seed(seed)
        assert torch.equal(hard_negatives(logits, same, _noise(40)), expected)


def test_rows_of_a_larger_batch_draw_as_there() -> None:
    torch.manual_seed(0)
    logits, same, noise = torch.randn(6, 6), torch.eye(6, dtype=torch.bool), _noise(6)
    whole = hard_negatives(logits, same, noise)
    assert torch.equal(hard_negatives(logits[4:], same[4:], noise[4:], first=4), whole[4:])


def test_a_batch_of_one_text_still_draws_others() -> None:
    for _ in range(20):
        noise, same = _noise(3), torch.ones(3, 3, dtype=torch.bool)
        drawn = hard_negatives(torch.zeros(3, 3), same, noise)
        assert (drawn != torch.arange(3)).all()
        assert torch.equal(hard_negatives(torch.zeros(2, 3), same[1:], noise[1:], first=1), drawn[1:])


def test_a_batch_of_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        hard_negatives(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), _noise(1))


def test_match_is_cross_entropy_with_the_positives_first() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, 0.0], [3.0, 0.0]])
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 0]))
    torch.testing.assert_close(match(logits, positives=1), expected)


def test_choosing_is_the_mean_surprise_at_the_right_label() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0]])
    expected = -(logits[0].log_softmax(0)[2] + logits[1].log_softmax(0)[0]) / 2
    torch.testing.assert_close(choose(logits, torch.tensor([2, 0])), expected)
