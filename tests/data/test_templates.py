"""Templates: as many as the paper has, each used in a mixture of tasks, and none held out is half held in."""

import re
from collections import Counter
from math import sqrt

import pytest

from chiasm.core.types import Instructed, Pixels, Wording
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Instructions
from chiasm.data.loader import PairLoader
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.templates import CAPTIONS, QUESTIONS, Templates
from chiasm.data.text import Tokenizer, clean

WORDS = Tokenizer.train([*CAPTIONS.held_in, *QUESTIONS.held_in], vocab=600)
PROMPTER = Prompter(WORDS, Wording(start=2, close=None, end=3, pad=0), {"image": ""}, WORDS)
FORM = Instructions(PROMPTER, describe=CAPTIONS.held_in, ask=QUESTIONS.held_in)


@pytest.mark.parametrize(("task", "asked"), [(CAPTIONS, 0), (QUESTIONS, 1)])
def test_templates_are_many_short_and_apart(task: Templates, asked: int) -> None:
    every = (*task.held_in, *task.held_out)
    assert 10 <= len(task.held_in) <= len(every) <= 15
    assert len({clean(template) for template in every}) == len(every)
    assert all(re.search(r"\b(short|briefly)\b", clean(template)) for template in every)
    assert {template.count("{}") for template in every} == {asked}
    known = {word for template in task.held_in for word in clean(template).split()}
    assert all(set(clean(template).split()) - known for template in task.held_out)


@pytest.mark.parametrize(
    ("spec", "share"),
    [
        ("mix:questions:single?count=360 + world:single?count=40", sqrt(360) / (sqrt(360) + sqrt(40))),
        ("mix:1*questions:single?count=360 + 3*world:single?count=40", 0.25),
    ],
)
def test_a_mixture_of_tasks_draws_each_as_often_as_it_should_and_every_template(spec: str, share: float) -> None:
    images = ImageProcessor(Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD))
    loader = PairLoader(open_source(spec), images, WORDS, batch=40, seed=0, form=FORM)
    told = Counter[str]()
    for _ in range(10):  # an epoch
        batch = next(loader)
        assert isinstance(batch, Instructed)
        told.update(WORDS.decode([i for i in row if i >= 0]) for row in batch.prompt.words.ids.tolist())
    described = {WORDS.decode(ids) for ids in WORDS.ids(CAPTIONS.held_in)}
    assert sum(count for text, count in told.items() if text not in described) == pytest.approx(400 * share, abs=1)
    assert described <= told.keys()
    openings = [WORDS.decode(ids) for ids in WORDS.ids([text.partition("{}")[0] for text in QUESTIONS.held_in])]
    assert all(any(text.startswith(opening) for text in told.keys() - described) for opening in openings if opening)
