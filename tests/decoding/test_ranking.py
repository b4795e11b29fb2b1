"""Ranking along a tree gives what scoring every candidate alone gives, whatever stands beside it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from chiasm.decoding.ranking import rank

CANDIDATES = [[3], [3, 4], [3, 4, 5], [2], [6, 7], [3, 4], [8, 2, 2, 2], [6, 7, 9, 10], [5, 1], [4], [3, 5], []]


def slow(
    scene: Any, row: int, candidates: list[list[int]], *, k: int, first: int, smoothing: float
) -> list[tuple[float, int, float]]:
    """Every candidate by itself, every token from the start."""
    speak = scene.toy.about(scene.seen[row])
    scored = list[tuple[float, int, float, float]]()
    for place, words in enumerate(candidates):
        text = [*words, scene.toy.end]
        logits = [torch.tensor(speak([0, *text[:i]])) for i in range(len(text))]
        gains = [one.log_softmax(0)[token].item() for one, token in zip(logits, text, strict=True)]
        loss = [
            cross_entropy(one, torch.tensor(token), label_smoothing=smoothing).item()
            for one, token in zip(logits, text, strict=True)
        ]
        scored.append((gains[0], place, sum(gains), -sum(loss) - (first - 1) * loss[0]))
    likeliest = sorted((each[0] for each in scored), reverse=True)
    short = [each for each in sorted(scored, key=lambda each: -each[0]) if each[0] >= likeliest[:k][-1]]
    return [(score, place, own) for _, place, own, score in sorted(short, key=lambda each: -each[3])]


@pytest.mark.parametrize(("first", "smoothing"), [(1, 0.0), (2, 0.0), (1, 0.1), (2, 0.6)])
@pytest.mark.parametrize("k", [1, 3, 7, 12, 50])
def test_the_tree_equals_candidates_alone(make_scene: Callable[..., Any], k: int, first: int, smoothing: float) -> None:
    scene = make_scene(prompts=[(0,)] * 4, sharp=1.0)
    found = rank(scene.toy, scene.seen, scene.text, CANDIDATES, k=k, first=first, smoothing=smoothing)
    for row, ranked in enumerate(found):
        expected = slow(scene, row, CANDIDATES, k=k, first=first, smoothing=smoothing)
        assert ranked.scores == pytest.approx([score for score, _, _ in expected], abs=1e-4)
        assert ranked.logprobs == pytest.approx([own for _, _, own in expected], abs=1e-4)
        assert [CANDIDATES[place] for place in ranked.places] == [CANDIDATES[place] for _, place, _ in expected]


def test_a_row_alone_is_the_row_among_others(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(prompts=[(0,)] * 4, sharp=3.0)
    both = rank(scene.toy, scene.seen, scene.text, CANDIDATES, k=5)
    assert len({ranked.places for ranked in both}) > 1
    for row, ranked in enumerate(both):
        toy, seen, opening = scene.alone(row)
        (alone,) = rank(toy, seen, opening, CANDIDATES, k=5)
        assert alone.places == ranked.places
        assert alone.scores == pytest.approx(ranked.scores, abs=1e-5)


def test_shared_beginnings_are_read_once(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(prompts=[(0,)])
    rank(scene.toy, scene.seen, scene.text, CANDIDATES, k=50)
    # [3] [2] [6] [8] [5] [4], then [3 4] [6 7] [8 2] [5 1] [3 5], [3 4 5] [8 2 2] [6 7 9], [8 2 2 2] [6 7 9 10]
    assert scene.toy.widths == [1, 6, 5, 3, 2]


def test_equals_are_never_parted(make_scene: Callable[..., Any]) -> None:
    """Whatever stands first in the list, the best of a beginning wins."""
    scene = make_scene(prompts=[(0,)] * 3, sharp=3.0)
    candidates = [[token, last] for token in (3, 6) for last in (1, 2, 4, 5, 7)]
    rankings = [
        [
            [(tuple(order[place]), score) for place, score in zip(one.places, one.scores, strict=True)]
            for one in rank(scene.toy, scene.seen, scene.text, order, k=1)
        ]
        for order in (candidates, candidates[::-1])
    ]
    for row, other in zip(*rankings, strict=True):
        assert len(row) == 5
        assert row == other


def test_nothing_to_choose_from(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(prompts=[(0,)])
    with pytest.raises(ValueError, match="no candidates"):
        rank(scene.toy, scene.seen, scene.text, [], k=1)
    with pytest.raises(ValueError, match="k is 0"):
        rank(scene.toy, scene.seen, scene.text, CANDIDATES, k=0)
    (only,) = rank(scene.toy, scene.seen, scene.text, [[3]], k=9)
    assert only.places == (0,)
