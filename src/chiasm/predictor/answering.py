"""Answers to questions: written freely, chosen among candidates, or judged by labels that a model was trained on.

picture ─ see ─┐         ┌─ generate
question ──────┴ ask ─┴─ rank candidates          or judge ─ labels
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from chiasm.core.ability import Answers, Instructs, Judges, Picture
from chiasm.core.errors import check_whole
from chiasm.core.results import Answer, Ranking
from chiasm.data.clips import together
from chiasm.decoding.generate import generate
from chiasm.decoding.prompt import alone
from chiasm.decoding.ranking import Ranked, rank
from chiasm.decoding.strategies import Beam, Greedy, Limits
from chiasm.predictor import inputs
from chiasm.predictor.reader import Reader, ranked, slices
from chiasm.predictor.telling import Begun, told

TREES = 1024  # candidates of all questions that are ranked at once: each brings a row of logits
HINT = "a row of two is a Both(left, right)"
Ask = Callable[[Tensor, Sequence[str], Tensor], Iterator[Answer]]  # seen, questions, each one's row of seen
Begin = Callable[[Tensor, Sequence[str], Tensor], Begun]


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
        check_whole("k", k, least=1)
        return cls(tuple(names), k)


def answers(
    reader: Reader,
    module: Answers | Judges | Instructs,
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
            asking = own[part]
            said += ask(seen, asking, torch.arange(len(asking), device=seen.device) % len(seen))
    return said


def _asking(
    reader: Reader, module: Answers | Judges | Instructs, pictures: Sequence[Picture], how: Free | Among
) -> Ask:
    """What becomes of questions that stand beside their pictures."""
    match module, how:
        case Judges(), Among():
            raise ValueError(f"this model chooses among {', '.join(module.labels)}, and takes no other candidates")
        case Judges(), Free():
            if pictures and (count := together(pictures)) != module.pictures:
                raise ValueError(f"this model judges {module.pictures} pictures a row and was given {count}: {HINT}")
            return partial(_judged, reader, module)
        case Answers(), Free():
            return partial(_written, reader, _beside(reader, module), how)
        case Answers(), Among():
            text = reader.read(how.candidates)
            words = [ids[mask].tolist()[1:-1] for ids, mask in zip(text.ids, text.mask, strict=True)]
            scored = partial(rank, first=module.first, smoothing=module.smoothing)
            return partial(_chosen, _beside(reader, module), how, words, scored)
        case Instructs(), Free():
            return partial(_written, reader, _told(reader, module, together(pictures)), how)
        case Instructs(), Among():
            words = reader.tokenizer.following(how.candidates)
            return partial(_chosen, _told(reader, module, together(pictures)), how, words, rank)


def _beside(reader: Reader, module: Answers) -> Begin:
    """Questions are read beside what they are about."""

    def begin(seen: Tensor, questions: Sequence[str], rows: Tensor) -> Begun:
        states, writer = module.ask(seen, reader.read(questions), rows)
        return Begun(writer, states, alone(writer.start, len(states), states.device))

    return begin


def _told(reader: Reader, module: Instructs, frames: int) -> Begin:
    """Questions stand behind what they are about, in the words of the model's family."""

    def begin(seen: Tensor, questions: Sequence[str], rows: Tensor) -> Begun:
        return told(reader, module, seen[rows], [module.wording.question.format(text) for text in questions], frames)

    return begin


def _judged(reader: Reader, module: Judges, seen: Tensor, questions: Sequence[str], rows: Tensor) -> Iterator[Answer]:
    for row in module.judge(seen, reader.read(questions), rows).float().softmax(dim=1):
        ranking = ranked(module.labels, row)
        yield Answer(ranking.items[0], math.log(ranking.scores[0]), ranking)


def _written(
    reader: Reader, begin: Begin, how: Free, seen: Tensor, questions: Sequence[str], rows: Tensor
) -> Iterator[Answer]:
    begun = begin(seen, questions, rows)
    for (one,) in generate(begun.model, begun.states, begun.opening, how.strategy, how.limits):
        yield Answer(reader.tokenizer.decode(one.ids), one.logprob)


def _chosen(
    begin: Begin, how: Among, words: Sequence[Sequence[int]], scored: Callable[..., list[Ranked]],
    seen: Tensor, questions: Sequence[str], rows: Tensor,
) -> Iterator[Answer]:  # fmt: skip
    alike = max(Counter(tuple(ids[:1]) for ids in words).values())  # equals are never parted
    few = max(1, TREES // min(how.k + alike - 1, len(words)))
    for part in slices(len(questions), few):
        begun = begin(seen, questions[part], rows[part])
        for best in scored(begun.model, begun.states, begun.opening, words, k=how.k):
            items = tuple(how.candidates[place] for place in best.places)
            yield Answer(items[0], best.logprobs[0], Ranking(items, best.places, best.scores))
