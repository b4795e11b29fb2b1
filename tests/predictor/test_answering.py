"""Answers equal slow plain loops, whatever the batch; what cannot be answered is said in one sentence."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import chiasm
from chiasm import AbilityError, Answer, Both
from chiasm.archetypes.answer import Answerer
from chiasm.core.types import Text
from chiasm.predictor.verbs import Predictor

Pictures = list[np.ndarray[Any, Any]]
QUESTIONS = [
    "what colour is it?",
    "how many red circles are there?",
    "x?",
    "",
    "is it left of the star?",
    "what shape?",
]
KNOWN = ["red", "blue", "a red", "a red circle", "a", "two", "the blue square", "yes", "no", "red circle", "a blue"]
CLOSE = {"abs": 1e-5}


@pytest.fixture(scope="module")
def asked() -> Predictor:
    return chiasm.create("blip/tiny-vqa", seed=3, device="cpu")


@pytest.fixture(scope="module")
def judge() -> Predictor:
    return chiasm.create("blip/tiny-nlvr2", seed=3, device="cpu")


def _gains(model: Predictor, picture: Any, question: str, words: Tensor) -> Tensor:
    """Log-probabilities of what comes after each word of an answer, for one question without neighbours."""
    assert isinstance(model.module, Answerer)
    chain, text = model.module.chain, model.tokenizer.encode([question])
    opened = Text(text.ids.clone(), text.mask)
    opened.ids[0, 0] = model.tokenizer.markers.enc
    states = chain.question.encode(opened, chain.question.recall(chain.vision(model.processor([picture]))))
    written, _ = chain.decoder.decode(words, chain.decoder.blank(chain.decoder.recall(states)))
    return chain.word_head(written)[0].log_softmax(dim=1)


@torch.no_grad()
def slow_ranking(model: Predictor, picture: Any, question: str, *, k: int) -> list[tuple[str, float, float]]:
    """Every candidate alone: its score, which is BLIP's loss, and its log-probability."""
    scored = list[tuple[float, float, float, str]]()
    for name in KNOWN:
        ids = model.tokenizer.encode([name]).ids
        ids[0, 0] = model.tokenizer.markers.dec
        every = _gains(model, picture, question, ids[:, :-1])
        gains = every.gather(1, ids[0, 1:, None])
        loss = cross_entropy(every, ids[0, 1:], reduction="sum", label_smoothing=0.1)
        scored.append((round(gains[0].item(), 4), -loss.item(), gains.sum().item(), name))
    last = sorted((each[0] for each in scored), reverse=True)[:k][-1]  # and its equals
    short = [each for each in sorted(scored, key=lambda each: -each[0]) if each[0] >= last]
    return [(name, score, own) for _, score, own, name in sorted(short, key=lambda each: -each[1])]


@torch.no_grad()
def slow_words(model: Predictor, picture: Any, question: str, *, steps: int) -> Answer:
    said, logprob = torch.tensor([[model.tokenizer.markers.dec]]), 0.0
    for _ in range(steps):
        gains = _gains(model, picture, question, said)[-1]
        logprob += gains.max().item()
        if gains.argmax() == model.tokenizer.markers.sep:
            break
        said = torch.cat([said, gains.argmax().view(1, 1)], dim=1)
    return Answer(model.tokenizer.decode(said[0, 1:].tolist()), logprob)


@pytest.mark.parametrize("k", [1, 4, 128])
def test_ranking_is_every_candidate_alone(asked: Predictor, pictures: Pictures, k: int) -> None:
    expected = [slow_ranking(asked, *row, k=k) for row in zip(pictures, QUESTIONS, strict=True)]
    assert k == 1 or len({tuple(name for name, _, _ in row) for row in expected}) > 1
    for size in (1, 4, 32):
        for one, row in zip(asked.answer(pictures, QUESTIONS, KNOWN, k=k, batch_size=size), expected, strict=True):
            assert (one.text, one.logprob) == (row[0][0], pytest.approx(row[0][2], **CLOSE))
            assert one.candidates.items == tuple(name for name, _, _ in row)
            assert one.candidates.scores == pytest.approx([score for _, score, _ in row], **CLOSE)
            assert one.candidates.items == tuple(KNOWN[i] for i in one.candidates.indices)


def test_free_answers_are_the_slow_loop(asked: Predictor, pictures: Pictures) -> None:
    expected = [slow_words(asked, *row, steps=5) for row in zip(pictures, QUESTIONS, strict=True)]
    for size in (1, 4, 32):
        for one, slow in zip(
            asked.answer(pictures, QUESTIONS, max_new_tokens=5, batch_size=size), expected, strict=True
        ):
            assert (one.text, one.candidates) == (slow.text, None)
            assert one.logprob == pytest.approx(slow.logprob, **CLOSE)
    beam = asked.answer(pictures, QUESTIONS, strategy="beam", num_beams=4, max_new_tokens=5)
    assert any(one.text != slow.text for one, slow in zip(beam, expected, strict=True))


def test_one_in_one_out(asked: Predictor, pictures: Pictures) -> None:
    alone = asked.answer(pictures[0], QUESTIONS[0], KNOWN)
    assert isinstance(alone, Answer)
    by_questions = asked.answer(pictures[0], QUESTIONS, KNOWN)
    by_pictures = asked.answer(pictures, QUESTIONS[0], KNOWN)
    assert [one.text for one in by_questions] == [asked.answer(pictures[0], q, KNOWN).text for q in QUESTIONS]
    assert [one.text for one in by_pictures] == [asked.answer(p, QUESTIONS[0], KNOWN).text for p in pictures]
    assert by_questions[0].logprob == pytest.approx(alone.logprob, **CLOSE)
    assert asked.answer([], []) == asked.answer([], QUESTIONS[0], KNOWN) == []


def test_what_is_wrong_is_said(asked: Predictor, judge: Predictor, model: Predictor, pictures: Pictures) -> None:
    with pytest.raises(ValueError, match="2 pictures and 3 texts"):
        asked.answer(pictures[:2], QUESTIONS[:3])
    with pytest.raises(ValueError, match="no candidates to choose from; leave them out"):
        asked.answer(pictures[0], "x?", [])
    with pytest.raises(ValueError, match="unknown strategy 'nucleus'"):
        asked.answer(pictures[0], "x?", strategy="nucleus")
    with pytest.raises(AbilityError, match=r"blip/tiny has no weights to answer with; these have: blip/tiny-vqa"):
        model.answer(pictures[0], "x?")
    with pytest.raises(ValueError, match="chooses among false, true, and takes no other"):
        judge.answer(Both(*pictures[:2]), "x", ["maybe"])
    with pytest.raises(ValueError, match="judges 2 pictures a row and was given 1: a row of two is a Both"):
        judge.answer(pictures, "x")
    with pytest.raises(ValueError, match="row 0 is 2 pictures and row 1 is 1"):
        judge.answer([Both(*pictures[:2]), pictures[0]], "x")


def test_a_judge_answers_by_its_labels(judge: Predictor, pictures: Pictures) -> None:
    rows = [Both(pictures[i], pictures[(i + 1) % 6]) for i in range(6)]
    said = judge.answer(rows, QUESTIONS)
    for row, question, one in zip(rows, QUESTIONS, said, strict=True):
        alone = judge.answer(row, question)
        assert alone.candidates.scores == pytest.approx(one.candidates.scores, **CLOSE)
        assert (
            math.exp(one.logprob)
            == pytest.approx(one.candidates.scores[0])
            == pytest.approx(max(one.candidates.scores))
        )
        assert sum(one.candidates.scores) == pytest.approx(1.0)
        assert set(one.candidates.items) == {"false", "true"}
    turned = judge.answer([Both(row.right, row.left) for row in rows], QUESTIONS)
    assert [one.logprob for one in turned] != pytest.approx([one.logprob for one in said], abs=1e-3)
