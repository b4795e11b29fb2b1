"""Two processes are one process with a batch twice as large."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from chiasm.core import ranks

from . import ranks_alone as alone

SCRIPT = Path(__file__).with_name("ranks_alone.py")


@pytest.fixture(scope="module")
def both(on_two_ranks: Callable[[Path], list[Any]]) -> list[Any]:
    return on_two_ranks(SCRIPT)


def test_values_and_gradients_are_those_of_one_process(both: list[Any]) -> None:
    model = alone.model()
    features = model(alone.rows())
    loss = alone.contrast(features, features, 0)
    loss.backward()
    torch.testing.assert_close(sum(told["loss"] for told in both) / 2, loss.detach())
    torch.testing.assert_close(sum(told["gradient"] for told in both) / 2, model.weight.grad)


def test_everyone_sees_all_rows_in_order(both: list[Any]) -> None:
    assert all(torch.equal(told["rows"], alone.rows()) for told in both)


def test_several_things_are_gathered_at_once(both: list[Any]) -> None:
    rows = alone.rows()
    for told in both:
        positive, numbers, same = told["several"]
        assert torch.equal(positive, rows > 0)
        assert numbers.tolist() == [0, 0, 0, 1, 1, 1]
        assert torch.equal(same, rows)


def test_rows_that_were_asked_for_come_and_their_gradients_go_back(both: list[Any]) -> None:
    rows = alone.model()(alone.rows()).detach().requires_grad_()
    sum(alone.valued(rows[alone.wanted(number)], number) for number in range(2)).backward()
    for number, told in enumerate(both):
        assert torch.equal(told["asked"], torch.stack([alone.wanted(0), alone.wanted(1)]))
        torch.testing.assert_close(told["lent"], rows.detach()[alone.wanted(number)])
        torch.testing.assert_close(told["returned"], rows.grad[3 * number :][:3])
        assert torch.equal(told["other"], alone.rows()[[number] * 3])


def test_everyone_believes_rank_zero(both: list[Any]) -> None:
    torch.manual_seed(0)
    drawn = torch.rand(2)
    assert all(torch.equal(told["drawn"], drawn) for told in both)
    assert [(told["rank"], told["world"]) for told in both] == [(0, 2), (1, 2)]


def test_a_mean_is_fair_to_all_words(both: list[Any]) -> None:
    words = alone.words(0)
    words.mean().backward()
    assert both[1]["mean"] == 0  # no words, though their mean is not a number
    torch.testing.assert_close((both[0]["mean"] + both[1]["mean"]) / 2, words.detach().mean())
    torch.testing.assert_close(both[0]["weights"] / 2, words.grad)
    assert both[1]["weights"].shape == (0,)
    assert [told["none"] for told in both] == [0, 0]  # nobody has any


def test_what_is_told_and_averaged(both: list[Any]) -> None:
    assert [(told["first"], told["all"]) for told in both] == [(0, [0, 1])] * 2
    assert all(torch.equal(told["average"], torch.tensor([1.0, 0.5])) for told in both)


def test_a_single_process_needs_no_group() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    assert (ranks.rank(), ranks.world()) == (0, 1)
    assert ranks.gather_learning(x) is x
    assert ranks.gather(x) is x
    assert ranks.gather_all(x, x) == (x, x)
    (asked,) = ranks.ask(torch.tensor([1, 1, 0]))
    assert asked.of(x).shape == (3, 3)
    assert ranks.agreed(x) is x
    assert ranks.average(x) is x
    assert ranks.fair(x.sum(), 3).equal(x.sum())
    assert (ranks.told(x), ranks.everyones(x)) == (x, [x])
