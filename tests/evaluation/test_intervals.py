"""Intervals cover what they promise, and seeds spread as statistics has it."""

import math

import pytest
import torch

from chiasm.evaluation.intervals import bootstrap, spread


def test_the_interval_is_that_of_theory_for_many_items() -> None:
    items = (torch.arange(400) % 5 == 0).double()  # mean 0.2, standard error sqrt(0.2 * 0.8 / 400) = 0.02
    low, high = bootstrap(items, draws=4000)
    assert low == pytest.approx(0.2 - 1.96 * 0.02, abs=0.004)
    assert high == pytest.approx(0.2 + 1.96 * 0.02, abs=0.004)


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for trial in range(100):
        low, high = bootstrap(torch.rand(40, generator=generator), seed=trial, draws=200, level=0.8)
        covered += low <= 0.5 <= high
    assert 65 <= covered <= 92


def test_a_seed_fixes_it() -> None:
    items = torch.rand(50)
    assert bootstrap(items, seed=3) == bootstrap(items, seed=3)
    assert bootstrap(items, seed=3) != bootstrap(items, seed=4)


def test_equal_items_leave_no_doubt_and_none_leave_no_mean() -> None:
    assert bootstrap(torch.ones(9)) == (1, 1)
    with pytest.raises(ValueError, match="no items"):
        bootstrap(torch.zeros(0))


def test_spread_over_seeds() -> None:
    assert spread([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt((4 + 1 + 9) / 2)))
    assert spread([0.4]) == (0.4, 0.0)
