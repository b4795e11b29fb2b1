"""Recall equals a slow loop over sorted candidates; ties, equal captions and short lists."""

import pytest
import torch
from torch import Tensor

from chiasm.evaluation.retrieval import equal_texts, found, places, recall, rerank, retrieval, shortlist, wanted


def slow_recall(scores: Tensor, right: Tensor, k: int) -> float:
    """Sort each row's candidates, wrong ones first where scores are equal, and look at the first k."""
    hits = 0
    for row, fits in zip(scores.tolist(), right.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda i: (-row[i], fits[i]))
        hits += any(fits[i] for i in order[:k])
    return hits / len(scores)


def coarse(*shape: int, seed: int) -> Tensor:
    """Scores with many ties."""
    return torch.randint(0, 6, shape, generator=torch.Generator().manual_seed(seed)).float()


def some_right(*shape: int, seed: int) -> Tensor:
    right = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.2
    right[torch.arange(min(shape)), torch.arange(min(shape))] = True
    right[:, 0], right[0, :] = True, True
    return right


@pytest.mark.parametrize("seed", range(5))
def test_recall_equals_a_slow_loop(seed: int) -> None:
    scores, right = coarse(13, 17, seed=seed), some_right(13, 17, seed=seed)
    values = recall(scores, right, (1, 3, 5))
    assert values == {f"r@{k}": pytest.approx(slow_recall(scores, right, k)) for k in (1, 3, 5)}
    assert 0 < values["r@1"] < values["r@5"]


def test_both_directions_and_their_means() -> None:
    scores, right = coarse(13, 17, seed=1), some_right(13, 17, seed=1)
    values = retrieval(scores, right)
    assert values["tr@5"] == slow_recall(scores, right, 5)
    assert values["ir@5"] == slow_recall(scores.T, right.T, 5)
    assert values["mean@5"] == pytest.approx((values["tr@5"] + values["ir@5"]) / 2)
    six = [values[f"{side}@{k}"] for side in ("tr", "ir") for k in (1, 5, 10)]
    assert values["mean"] == pytest.approx(sum(six) / 6)


def test_each_direction_may_have_scores_of_its_own() -> None:
    right = torch.eye(4, dtype=torch.bool)
    values = retrieval(torch.eye(4), right, (1,), pictures=1 - torch.eye(4))
    assert values == {"tr@1": 1.0, "ir@1": 0.0, "mean@1": 0.5, "mean": 0.5}


def test_the_items_average_to_the_numbers() -> None:
    scores, right = coarse(15, 15, seed=3), some_right(15, 15, seed=3)
    items = found(scores, right, pictures=scores.T + 0.0)
    assert {name: item.mean().item() for name, item in items.items()} == pytest.approx(retrieval(scores, right))
    assert all(len(item) == 15 for item in items.values())


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    assert retrieval(torch.zeros(20, 20), torch.eye(20, dtype=torch.bool))["mean"] == 0


def test_equal_captions_are_right_for_each_other() -> None:
    texts = ["a cat", "a dog", "a cat"]
    right = equal_texts(texts)
    assert right.tolist() == [[a == b for b in texts] for a in texts]
    second_best = torch.tensor([[0.1, 0.2, 0.9], [0.0, 1.0, 0.3], [0.9, 0.2, 0.1]])
    assert recall(second_best, right, (1,)) == {"r@1": 1.0}
    assert recall(second_best, torch.eye(3, dtype=torch.bool), (1,)) == {"r@1": pytest.approx(1 / 3)}


def test_what_has_no_order_or_no_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a number"):
        places(torch.tensor([[torch.nan, 1.0]]), torch.tensor([[True, False]]))
    with pytest.raises(ValueError, match="row 1 has no right"):
        places(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]))


def test_short_lists_are_stable() -> None:
    itc = torch.tensor([[0.5, 0.9, 0.5, 0.1, 0.9]])
    assert shortlist(itc, 3).tolist() == [[1, 4, 0]]
    assert shortlist(itc, 99).tolist() == [[1, 4, 0, 2, 3]]


def test_reranking_adds_logit_and_cosine_on_the_short_list() -> None:
    itc, logit = torch.rand(6, 9), torch.randn(6, 9) * 300  # far below the reference's -100
    got = rerank(itc, logit, 4)
    for i in range(6):
        best = sorted(range(9), key=lambda j: -itc[i, j].item())[:4]
        for j in range(9):
            expected = (itc[i, j] + logit[i, j]).item() if j in best else -torch.inf
            assert got[i, j].item() == expected


def test_logits_outside_the_short_list_are_not_looked_at() -> None:
    itc = torch.tensor([[0.9, 0.8, 0.1]])
    assert rerank(itc, torch.tensor([[0.0, 1.0, torch.nan]]), 2).tolist() == [
        [pytest.approx(0.9), pytest.approx(1.8), -torch.inf]
    ]


def test_what_the_short_list_missed_is_not_found() -> None:
    itc = torch.tensor([[0.9, 0.8, 0.1]])
    right = torch.tensor([[False, False, True]])
    assert recall(rerank(itc, torch.zeros(1, 3), 2), right, (1, 2, 3)) == {"r@1": 0.0, "r@2": 0.0, "r@3": 1.0}


def test_wanted_are_the_pairs_that_either_side_would_ask() -> None:
    itc = coarse(6, 9, seed=5)
    slow = torch.zeros(6, 9, dtype=torch.bool)
    for i, row in enumerate(shortlist(itc, 2).tolist()):
        slow[i, row] = True
    for j, column in enumerate(shortlist(itc.T, 2).tolist()):
        slow[column, j] = True
    assert wanted(itc, 2).equal(slow)
    assert 12 < slow.sum() <= 30
