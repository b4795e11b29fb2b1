"""Greedy decoding against a slow loop, and who leaves the batch when."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from chiasm.core.types import Text
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Greedy, Limits, Nucleus

CASES = [
    Limits(7),
    Limits(7, min_new_tokens=4),
    Limits(7, repetition_penalty=1.7),
    Limits(7, repetition_penalty=0.6),
    Limits(5, min_new_tokens=5, repetition_penalty=1.3),
]


@pytest.mark.parametrize("limits", CASES)
@pytest.mark.parametrize("seed", range(6))
def test_greedy_is_the_slow_loop(make_scene: Callable[..., Any], limits: Limits, seed: int) -> None:
    scene = make_scene(seed=seed, ends=3.0)
    spoken = generate(scene.toy, scene.seen, scene.text, Greedy(), limits)
    for row, [text] in enumerate(spoken):
        ids, logprob = scene.slow(row, limits).greedy(scene.prompts[row])
        assert text.ids == ids
        assert text.logprob == pytest.approx(logprob, abs=1e-4)
        assert len(ids) >= limits.min_new_tokens


def test_the_cases_end_at_different_times(make_scene: Callable[..., Any]) -> None:
    lengths = set[int]()
    for seed in range(6):
        scene = make_scene(seed=seed, ends=3.0)
        lengths |= {len(text.ids) for [text] in generate(scene.toy, scene.seen, scene.text, Greedy(), Limits(7))}
    assert {0, 7} < lengths


def test_finished_pictures_leave_the_batch(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(seed=1, ends=3.0)
    spoken = generate(scene.toy, scene.seen, scene.text, Greedy(), Limits(7))
    lengths = [len(text.ids) for [text] in spoken]
    assert len(set(lengths)) > 1
    # before token number `step` (from 0) all texts are still there that have at least that many tokens
    assert scene.toy.widths == [sum(length >= step for length in lengths) for step in range(len(scene.toy.widths))]
    assert len(scene.toy.widths) == min(max(lengths) + 1, 7)


def test_the_end_token_at_once_is_an_empty_text(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(ends=50.0)
    spoken = generate(scene.toy, scene.seen, scene.text, Greedy(), Limits(7))
    assert [text.ids for [text] in spoken] == [()] * 4
    assert all(text.logprob == pytest.approx(0.0, abs=1e-6) for [text] in spoken)
    assert len(scene.toy.widths) == 1


def test_of_equal_tokens_greedy_takes_the_first(make_scene: Callable[..., Any]) -> None:
    scene = make_scene(sharp=0.0, end=4)
    spoken = generate(scene.toy, scene.seen, scene.text, Greedy(), Limits(3))
    assert {text.ids for [text] in spoken} == {(0, 0, 0)}


def test_padding_is_not_taken_for_something_said(make_scene: Callable[..., Any]) -> None:
    scene, limits = make_scene(seed=3), Limits(7, repetition_penalty=3.0)
    twin = generate(scene.toy, scene.seen, scene.text, Greedy(), limits)
    scene.toy.widths.clear()
    other = Text(scene.text.ids.masked_fill(~scene.text.mask, 7), scene.text.mask)
    assert generate(scene.toy, scene.seen, other, Greedy(), limits) == twin


@pytest.mark.parametrize("strategy", [Nucleus(0.9), Nucleus(0.5, temperature=1.8), Nucleus(1.0)])
def test_samples_of_a_picture_share_its_state(make_scene: Callable[..., Any], strategy: Nucleus) -> None:
    scene = make_scene(ends=2.0)
    spoken = generate(scene.toy, scene.seen, scene.text, strategy, Limits(9), returns=3, seeds=[5, 6, 7, 8])
    assert [len(texts) for texts in spoken] == [3] * 4
    assert scene.toy.log[0] == "spread 3"
    assert scene.toy.widths[0] == 4
    longest = [max(len(text.ids) for text in texts) for texts in spoken]
    assert scene.toy.widths[1:] == [
        3 * sum(length >= step for length in longest) for step in range(1, len(scene.toy.widths))
    ]


def test_bfloat16_logits_are_summed_in_fp32(make_scene: Callable[..., Any]) -> None:
    scene = make_scene()
    speak = scene.toy.speak

    def rounded(ids: Tensor, state: Any, present: Tensor | None = None) -> tuple[Tensor, Any]:
        logits, state = speak(ids, state, present)
        return logits.bfloat16(), state

    scene.toy.speak = rounded
    [[text], *_] = generate(scene.toy, scene.seen, scene.text, Greedy(), Limits(4))
    assert torch.tensor(text.logprob).bfloat16().item() != text.logprob
