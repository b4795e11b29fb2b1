"""Answers to questions: written freely, chosen among candidates, or judged by labels that a model was trained on.

picture ─ see ─┐         ┌─ generate
question ──────┴ ask ─┴─ rank candidates          or judge ─ labels
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from chiasm.core.ability import Answers, Judges, Picture
from chiasm.core.results import Answer, Ranking
from chiasm.core.types import Text
from chiasm.data.clips import together
from chiasm.decoding.generate import generate
from chiasm.decoding.prompt import alone
from chiasm.decoding.ranking import rank
from chiasm.decoding.strategies import Beam, Greedy, Limits
from chiasm.predictor import inputs
from chiasm.predictor.reader import Reader, ranked, slices

TREES = 1024  # candidates of all questions that are ranked at once: each brings a row of logits
HINT = "a row of two is a Both(left, right)"
Ask = Callable[[Tensor, Text, Tensor], Iterator[Answer]]  # seen, questions, each one's row of seen


@dataclass(frozen=True)
class Free:
    """Any words."""

    strategy: Greedy | Beam
    limits: Limits


@dataclass(frozen=True)
class Among:
    """One of these, after a short list of `k`."""

    candidates: tuple[str, ...]
    k: int

    @classmethod
    def of(cls, candidates: Iterable[str], k: int) -> "Among":
        names = inputs.texts(candidates, what="candidates").items
        if not names:
            raise ValueError("there are no candidates to choose from; leave them out for a free answer")
        return cls(tuple(names), k)


def answers(
    reader: Reader,
    module: Answers | Judges,
    pictures: Sequence[Picture],
    questions: Sequence[str],
    how: Free | Among,
    *,
    batch: int,
) -> list[Answer]:
    """An answer for each pair of picture and question; a picture is read once, however many questions it has."""
    pairs = inputs.pairs(len(pictures), len(questions))
    asked, ask = [*questions] * (pairs if len(questions) == 1 else 1), _asking(reader, module, pictures, how)
    said = list[Answer]()
    for rows, seen in reader.see(pictures, batch) if pairs else ():
        own = asked if len(pictures) == 1 else asked[rows]
        for part in slices(len(own), batch):
            text = reader.read(own[part])
            said += ask(seen, text, torch.arange(len(text), device=seen.device) % len(seen))
    return said


def _asking(reader: Reader, module: Answers | Judges, pictures: Sequence[Picture], how: Free | Among) -> Ask:
    """What becomes of questions that stand beside their pictures."""
    match module, how:
        case Judges(), Among():
            raise ValueError(f"this model chooses among {', '.join(module.labels)}, and takes no other candidates")
        case Judges(), Free():
            if pictures and (count := together(pictures)) != module.pictures:
                raise ValueError(f"this model judges {module.pictures} pictures a row and was given {count}: {HINT}")
            return partial(_judged, module)
        case Answers(), Free():
            return partial(_written, reader, module, how)
        case Answers(), Among():
            text = reader.read(how.candidates)
            words = [ids[mask].tolist()[1:-1] for ids, mask in zip(text.ids, text.mask, strict=True)]
            return partial(_chosen, module, how, words)


def _judged(module: Judges, seen: Tensor, text: Text, rows: Tensor) -> Iterator[Answer]:
    for row in module.judge(seen, text, rows).float().softmax(dim=1):
        ranking = ranked(module.labels, row)
        yield Answer(ranking.items[0], math.log(ranking.scores[0]), ranking)


def _written(reader: Reader, module: Answers, how: Free, seen: Tensor, text: Text, rows: Tensor) -> Iterator[Answer]:
    states, writer = module.ask(seen, text, rows)
    opening = alone(writer.start, len(text), states.device)
    for (one,) in generate(writer, states, opening, how.strategy, how.limits):
        yield Answer(reader.tokenizer.decode(one.ids), one.logprob)


def _chosen(
    module: Answers, how: Among, words: Sequence[Sequence[int]], seen: Tensor, text: Text, rows: Tensor
) -> Iterator[Answer]:
    few = max(1, TREES // min(how.k, len(words)))
    for part in slices(len(text), few):
        states, writer = module.ask(seen, text[part], rows[part])
        opening = alone(writer.start, len(states), states.device)
        for best in rank(writer, states, opening, words, k=how.k, first=module.first, smoothing=module.smoothing):
            items = tuple(how.candidates[place] for place in best.places)
            yield Answer(items[0], best.logprobs[0], Ranking(items, best.places, best.scores))
