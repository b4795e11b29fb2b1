"""Samples against a slow loop and against exact probabilities; what a seed fixes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from chiasm.decoding.generate import generate
from chiasm.decoding.nucleus import pick, uniforms
from chiasm.decoding.strategies import Limits, Nucleus


@pytest.mark.parametrize("strategy", [Nucleus(0.9), Nucleus(0.6, temperature=1.7), Nucleus(1.0), Nucleus(0.01)])
@pytest.mark.parametrize(
    "limits", [Limits(7), Limits(7, min_new_tokens=3, repetition_penalty=1.4)], ids=["plain", "bent"]
)
def test_samples_are_the_slow_loop(make_scene: Callable[..., Any], strategy: Nucleus, limits: Limits) -> None:
    scene, seeds = make_scene(ends=2.0, sharp=1.0), [3, -1, 2**63 - 1, 2**80]
    spoken = generate(scene.toy, scene.seen, scene.text, strategy, limits, returns=2, seeds=seeds)
    numbers = uniforms(seeds, returns=2, steps=7).view(4, 2, 7).tolist()
    for row, texts in enumerate(spoken):
        for which, text in enumerate(texts):
            ids, logprob = scene.slow(row, limits).nucleus(
                scene.prompts[row], strategy.top_p, strategy.temperature, numbers[row][which]
            )
            assert text.ids == ids
            assert text.logprob == pytest.approx(logprob, abs=1e-4)


def nucleus(chances: Tensor, top_p: float) -> Tensor:
    """The smallest set that reaches `top_p`, by trying all sizes."""
    order = chances.argsort(descending=True)
    size = next(n for n in range(1, len(chances) + 1) if chances[order[:n]].sum() >= top_p - 1e-12)
    kept = torch.zeros_like(chances).index_fill(0, order[:size], 1.0) * chances
    return kept / kept.sum()


@pytest.mark.parametrize("top_p", [0.3, 0.75, 0.95, 1.0])
def test_draws_follow_the_cut_distribution(top_p: float) -> None:
    chances = torch.randn(12, generator=torch.Generator().manual_seed(1), dtype=torch.float64).mul(1.5).softmax(dim=0)
    exact, n = nucleus(chances, top_p), 8_000
    numbers = uniforms(range(n), returns=1, steps=1)
    drawn = pick(chances.float().expand(n, -1), numbers, top_p).bincount(minlength=12)
    assert drawn[exact == 0].sum() == 0
    possible = exact > 0
    expected = n * exact[possible]
    chi_square = ((drawn[possible] - expected) ** 2 / expected).sum()
    # 99.99 % of chi-square's draws lie below, for 11 degrees of freedom (and further below for fewer)
    assert chi_square < 37.4


@pytest.mark.parametrize("top_p", [0.2, 0.9, 1.0])
def test_a_nucleus_beyond_the_shortlist_is_sorted_out(top_p: float) -> None:
    chance = torch.Generator().manual_seed(2)
    probabilities = (torch.randn(50, 40, generator=chance) * torch.linspace(0.1, 6, 50)[:, None]).softmax(dim=1)
    numbers = torch.rand(50, 1, generator=chance)
    whole = pick(probabilities, numbers, top_p, shortlist=40)
    assert torch.equal(pick(probabilities, numbers, top_p, shortlist=8), whole)


@pytest.mark.parametrize("number", [0.0, 1 - 2**-24, 1.0])
def test_the_edges_of_the_unit_interval_stay_in_the_nucleus(number: float) -> None:
    probabilities = torch.tensor([[0.125, 0.5, 0.0, 0.25, 0.125]])
    [token] = pick(probabilities, torch.tensor([[number]]), 0.7).tolist()
    assert token == (1 if number == 0.0 else 3)


def test_seeds_make_texts(make_scene: Callable[..., Any]) -> None:
    def sample(seeds: list[int] | None, returns: int = 1, steps: int = 9) -> list[list[tuple[int, ...]]]:
        scene = make_scene(sharp=0.5)
        spoken = generate(scene.toy, scene.seen, scene.text, Nucleus(0.9), Limits(steps), returns=returns, seeds=seeds)
        return [[text.ids for text in texts] for texts in spoken]

    seeds = [1, 2, 3, 4]
    assert sample(seeds) == sample(seeds)
    assert sample(seeds) != sample([4, 3, 2, 1])
    assert [texts[:1] for texts in sample(seeds, returns=3)] == sample(seeds)
    assert [[ids[:4] for ids in texts] for texts in sample(seeds)] == sample(seeds, steps=4)
    assert all(len(set(texts)) > 1 for texts in sample(seeds, returns=3))
    torch.manual_seed(0)
    first = sample(None)
    assert sample(None) != first
    torch.manual_seed(0)
    assert sample(None) == first


def test_numbers_of_rows_are_unrelated() -> None:
    numbers = uniforms(range(300), returns=2, steps=20).view(300, 40)
    assert numbers.unique().numel() > 11_900
    assert torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max() < 0.3
    assert torch.corrcoef(numbers).fill_diagonal_(0).abs().mean() < 0.15
