"""InstructBLIP chooses among candidates by all of their words, and reads picture and prompt once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import chiasm
from chiasm.archetypes.spliced import PICTURES, SplicedLM
from chiasm.core.types import Instructed
from chiasm.data.prompts import Prompter
from chiasm.predictor.verbs import Predictor

Pictures = list[np.ndarray[Any, Any]]
QUESTIONS = ["what colour is it?", "", "how many red circles are left of the star?"]
KNOWN = ["red", "blue", "a red", "a red circle", "a", "two", "the blue square", "yes", "no", "red circle", "a blue"]


@pytest.fixture(scope="module", params=["instructblip/tiny", "instructblip/tiny-t5", "instructblip/tiny-static"])
def model(request: pytest.FixtureRequest) -> Predictor:
    return chiasm.create(request.param, seed=3, device="cpu")


@torch.no_grad()
def alone(model: Predictor, picture: Any, question: str, candidate: str) -> float:
    """The log-probability of one candidate and of the end behind it, by the loss that models learn from."""
    module, words = model.module, model.tokenizer
    assert isinstance(module, SplicedLM)
    told = module.wording.question.format(question)
    prompter = Prompter(words, module.wording, {PICTURES: ""}, words if module.hinted else None)
    prompt, said = prompter([prompter.turn([PICTURES], told)], [told]), prompter.said([candidate])
    shown = {PICTURES: model.processor([picture])[:, None]}
    return -module(Instructed(shown, prompt, said))["language"].item() * said.mask.sum().item()


def test_ranking_is_every_candidate_alone(model: Predictor, pictures: Pictures) -> None:
    said = model.answer(pictures[:3], QUESTIONS, KNOWN, batch_size=2)
    for picture, question, one in zip(pictures[:3], QUESTIONS, said, strict=True):
        scores = [alone(model, picture, question, name) for name in KNOWN]
        order = sorted(range(len(KNOWN)), key=lambda i: -scores[i])
        assert list(one.candidates.indices) == order
        assert one.candidates.scores == pytest.approx([scores[i] for i in order], abs=1e-4)
        assert (one.text, one.logprob) == (KNOWN[order[0]], pytest.approx(max(scores), abs=1e-4))


def test_pictures_and_prompts_are_read_once(
    model: Predictor, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, rows = model.module, dict[str, list[int]]()
    assert isinstance(module, SplicedLM)

    def counted(verb: str, do: Callable[..., Any], *given: Any) -> Any:
        rows.setdefault(verb, []).append(len(next(part for part in given if isinstance(part, torch.Tensor))))
        return do(*given)

    monkeypatch.setattr(module, "perceive", partial(counted, "perceive", module.perceive))
    monkeypatch.setattr(
        module.senses[PICTURES], "forward", partial(counted, "connect", module.senses[PICTURES].forward)
    )
    monkeypatch.setattr(module.lm, "listen", partial(counted, "listen", module.lm.listen))
    model.answer(pictures[:2], QUESTIONS[:2], KNOWN)
    assert rows == {"perceive": [2], "connect": [2], "listen": [2]}
