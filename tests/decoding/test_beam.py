"""Beam search against a slow loop, against all texts there are, and where there are few."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Greedy, Limits

CASES = [
    Limits(1),
    Limits(6),
    Limits(6, min_new_tokens=3),
    Limits(6, repetition_penalty=1.5),
    Limits(6, repetition_penalty=0.7),
    Limits(5, min_new_tokens=5),
]


@pytest.mark.parametrize("limits", CASES)
@pytest.mark.parametrize("penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("beams", [2, 3, 5])
def test_beam_search_is_the_slow_loop(
    make_scene: Callable[..., Any], beams: int, penalty: float, limits: Limits
) -> None:
    scene = make_scene(seed=beams, ends=1.5)
    spoken = generate(scene.toy, scene.seen, scene.text, Beam(beams, penalty), limits, returns=beams)
    for row, texts in enumerate(spoken):
        expected = scene.slow(row, limits).beam(scene.prompts[row], beams, penalty)
        assert [text.ids for text in texts] == [ids for ids, _ in expected]
        assert [text.logprob for text in texts] == pytest.approx([own for _, own in expected], abs=1e-4)


def all_texts(scene: Any, row: int, said: list[int], steps: int) -> Iterator[float]:
    """Log-probabilities of every text of at most `steps` tokens."""
    if steps == 0:
        yield 0.0
        return
    logits = scene.toy.about(scene.seen[row])(said)
    total = math.log(sum(math.exp(logit) for logit in logits))
    for token, logit in enumerate(logits):
        rest = [0.0] if token == scene.toy.end else all_texts(scene, row, [*said, token], steps - 1)
        yield from (logit - total + more for more in rest)


def test_enough_beams_find_the_best_texts_of_all(make_scene: Callable[..., Any]) -> None:
    """Of the 40 texts of at most 3 tokens from a vocabulary of 4, nothing is left out by 64 beams."""
    scene = make_scene(vocab=4, prompts=[(0,), (0, 2)])
    spoken = generate(scene.toy, scene.seen, scene.text, Beam(64, 0.0), Limits(3), returns=40)
    for row, texts in enumerate(spoken):
        everything = sorted(all_texts(scene, row, scene.prompts[row], 3), reverse=True)
        assert len(everything) == 40
        assert sum(map(math.exp, everything)) == pytest.approx(1.0)
        assert [text.logprob for text in texts] == pytest.approx(everything, abs=1e-4)
        assert len({text.ids for text in texts}) == 40


def test_one_beam_is_greedy(make_scene: Callable[..., Any]) -> None:
    limits = Limits(6, repetition_penalty=1.5)
    scene, twin = make_scene(ends=1.5), make_scene(ends=1.5)
    beam = generate(scene.toy, scene.seen, scene.text, Beam(1), limits)
    assert beam == generate(twin.toy, twin.seen, twin.text, Greedy(), limits)


def test_beams_share_the_picture_and_finished_pictures_leave(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(seed=2, ends=3.0)
    generate(scene.toy, scene.seen, scene.text, Beam(3, 0.0), Limits(9))
    assert scene.toy.widths == [4, 12, 12, 12, 9, 3, 3, 3]  # the prompt is read once a picture
    assert [line for line in scene.toy.log if line != "select"] == ["spread 3", "keep 3", "keep 1"]


@pytest.mark.parametrize("penalty", [-1.0, 0.0, 2.0])
def test_a_vocabulary_of_two(make_scene: Callable[..., Any], penalty: float) -> None:
    """Of x and end: one text for each length, whatever the beams."""
    scene, limits = make_scene(vocab=2, prompts=[(0,), (0, 0)]), Limits(4)
    spoken = generate(scene.toy, scene.seen, scene.text, Beam(5, penalty), limits, returns=5)
    for row, texts in enumerate(spoken):
        assert sorted(text.ids for text in texts) == [(), (0,), (0, 0), (0, 0, 0), (0, 0, 0, 0)]
        assert [text.ids for text in texts] == [
            ids for ids, _ in scene.slow(row, limits).beam(scene.prompts[row], 5, penalty)
        ]


def test_more_texts_than_there_are(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(vocab=2, prompts=[(0,)])
    with pytest.raises(ValueError, match="3 texts a picture were asked for and only 2 found"):
        generate(scene.toy, scene.seen, scene.text, Beam(3), Limits(1), returns=3)


def test_equal_scores_give_different_texts(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(sharp=0.0)
    spoken = generate(scene.toy, scene.seen, scene.text, Beam(3, 0.0), Limits(3, min_new_tokens=3), returns=3)
    for texts in spoken:
        assert len({text.ids for text in texts}) == 3
        assert [text.logprob for text in texts] == pytest.approx([3 * -math.log(13)] * 3)


def test_length_penalty_favours_long_or_short(make_scene: Callable[..., Any]) -> None:
    lengths = []
    for penalty in (-4.0, 4.0):
        scene = make_scene(ends=3.0)
        spoken = generate(scene.toy, scene.seen, scene.text, Beam(4, penalty), Limits(8))
        lengths.append(sum(len(text.ids) for [text] in spoken))
    assert lengths[0] < lengths[1]


@pytest.mark.parametrize("strategy", [Beam(1), Beam(3)], ids=str)
def test_speakers_keep_their_logits(make_scene: Callable[..., Any], strategy: Beam) -> None:
    """A ban and a penalty work on copies: what a speaker hands out stays as it was."""
    scene, handed = make_scene(), list[tuple[Tensor, Tensor]]()
    speak = scene.toy.speak

    def watched(ids: Tensor, state: Any, present: Tensor | None = None) -> tuple[Tensor, Any]:
        logits, state = speak(ids, state, present)
        handed.append((logits := logits.float(), logits.clone()))
        return logits, state

    scene.toy.speak = watched
    generate(scene.toy, scene.seen, scene.text, strategy, Limits(3, min_new_tokens=3, repetition_penalty=2.0))
    assert len(handed) == 3
    assert all(torch.equal(now, then) for now, then in handed)
