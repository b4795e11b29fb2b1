"""Two processes learn as one does with the whole batch: losses, gradients, twins, queues, draws."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from . import align_alone as alone

SCRIPT = Path(__file__).with_name("align_alone.py")


@pytest.fixture(scope="module")
def both(on_two_ranks: Callable[[Path], list[Any]]) -> list[Any]:
    return on_two_ranks(SCRIPT)


@pytest.mark.parametrize("name", alone.GRAPHS)
def test_two_ranks_are_one_process(both: list[Any], name: str) -> None:
    whole = alone.alone(name, 0, [alone.batch(name, step) for step in range(alone.STEPS)])
    for told in both:
        assert told[name].keys() == whole.keys()
        for key, value in whole.items():
            torch.testing.assert_close(
                told[name][key], value, rtol=1e-4, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}"
            )


@pytest.mark.parametrize(("name", "writes"), [("med", "language"), ("queries", "generate")])
def test_a_rank_by_itself_would_learn_something_else(both: list[Any], name: str, writes: str) -> None:
    by_itself = alone.alone(name, 0, [alone.half(alone.batch(name, step), 0) for step in range(alone.STEPS)])
    for loss in ("contrast", "match", writes):
        assert not torch.allclose(by_itself[f"0 {loss}"], both[0][name][f"0 {loss}"], atol=1e-3)
