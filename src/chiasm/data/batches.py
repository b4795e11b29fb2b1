"""What a batch is made of: how pairs of a kind are read, and how their rows are put together.

Captions     picture, text                      ─ ImageText   align, match, describe
Questions    picture, question, right answers   ─ Asked       answer
Labels       one picture or two, text, label    ─ Labelled    judge

and, for models that are told what to do, `data/instructions.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.ability import Picture
from chiasm.core.types import Asked, ImageText, Instructed, Labelled, Text, Worded
from chiasm.data.pairs import Pair
from chiasm.data.text import Tokenizer, clean, padded

Batch = ImageText | Asked | Labelled | Instructed | Worded


@runtime_checkable
class Form(Protocol):
    """A kind of batch; it holds settings and no state."""

    def pictures(self, pair: Pair, /) -> Sequence[Picture]:
        """Of every row as many."""
        ...

    def read(self, pairs: Sequence[Pair], tokenizer: Tokenizer, /) -> Sequence[Any]:
        """What `batch` needs to know of each, or the reason, a string, why it cannot be used."""
        ...

    def batch(self, images: Any, words: Sequence[Any], pad: int, /) -> Batch:
        """Rows put together: pictures `[b k 3 h w]`, or by sense what was shown; `pad` fills up texts."""
        ...


@runtime_checkable
class Varies(Protocol):
    """A form that makes something else of a row in every epoch."""

    def vary(self, words: Any, rng: Random) -> Any:
        """What `batch` takes, of what `read` found."""
        ...


@dataclass(frozen=True)
class Captions:
    """A picture and its text; rows of equal cleaned text share one identity. `max_length` counts tokens.

    A `prompt`, if there is one, opens every text.
    """

    max_length: int = 30
    prompt: str = ""

    def pictures(self, pair: Pair) -> Sequence[Picture]:
        return [pair.image]

    def read(self, pairs: Sequence[Pair], tokenizer: Tokenizer) -> Sequence[Any]:
        texts = [clean(pair.text) for pair in pairs]
        opened = [f"{self.prompt} {text}" for text in texts]
        rows = zip(texts, _tokens(opened, tokenizer, self.max_length), strict=True)
        return [(ids, _identity(text)) if text else "no text" for text, ids in rows]

    def batch(self, images: Float[Tensor, "b k 3 h w"], words: Sequence[Any], pad: int) -> ImageText:
        identity = torch.tensor([identity for _, identity in words])
        return ImageText(images[:, 0], _text([ids for ids, _ in words], pad), identity)


CAPTIONS = Captions()


@dataclass(frozen=True)
class Questions:
    """A picture, a question (the tag `question`, else the text) and right answers (the tag `answers`).

    Answers are a list, or say how many people gave each; what counts is the share of all that were
    given (arXiv:2201.12086, as released).
    """

    max_length: int = 35
    answer_length: int = 12

    def pictures(self, pair: Pair) -> Sequence[Picture]:
        return [pair.image]

    def read(self, pairs: Sequence[Pair], tokenizer: Tokenizer) -> Sequence[Any]:
        return [self._row(asked(pair), tokenizer) for pair in pairs]

    def _row(self, told: tuple[str, Mapping[str, float]] | str, tokenizer: Tokenizer) -> Any:
        if isinstance(told, str):
            return told
        question, answers = told
        (ids,) = _tokens([question], tokenizer, self.max_length)
        return ids, _tokens([*answers], tokenizer, self.answer_length), [*answers.values()]

    def batch(self, images: Float[Tensor, "b k 3 h w"], words: Sequence[Any], pad: int) -> Asked:
        rows = [row for row, (_, answers, _) in enumerate(words) for _ in answers]
        answers = _text([ids for _, answers, _ in words for ids in answers], pad)
        weights = torch.tensor([weight for _, _, weights in words for weight in weights], dtype=torch.float32)
        question = _text([ids for ids, _, _ in words], pad)
        return Asked(images[:, 0], question, answers, torch.tensor(rows), weights)


@dataclass(frozen=True)
class Labels:
    """A text about one picture, or about two, and its label: the tag `label`, one of `names`; true and false too."""

    names: tuple[str, ...]
    images: int = 1
    max_length: int = 60

    def pictures(self, pair: Pair) -> Sequence[Picture]:
        return [pair.image, b"" if pair.second is None else pair.second][: self.images]

    def read(self, pairs: Sequence[Pair], tokenizer: Tokenizer) -> Sequence[Any]:
        texts = [clean(pair.text, max_words=self.max_length) for pair in pairs]
        labels = [str(pair.tags.get("label", "")).strip().lower() for pair in pairs]
        rows = zip(texts, labels, _tokens(texts, tokenizer, self.max_length), strict=True)
        alone = [self.images > 1 and pair.second is None for pair in pairs]
        return ["no second picture" if one else self._row(*row) for one, row in zip(alone, rows, strict=True)]

    def _row(self, text: str, label: str, ids: Tensor) -> Any:
        if label not in self.names:
            return f"the label {label!r} is none of {', '.join(self.names)}" if label else "no label"
        return (ids, self.names.index(label)) if text else "no text"

    def batch(self, images: Float[Tensor, "b k 3 h w"], words: Sequence[Any], pad: int) -> Labelled:
        return Labelled(images, _text([ids for ids, _ in words], pad), torch.tensor([label for _, label in words]))


def asked(pair: Pair) -> tuple[str, dict[str, float]] | str:
    """The question and how much each answer weighs, or the reason why there is nothing to learn from."""
    question, answers = clean(str(pair.tags.get("question") or pair.text)), shares(pair.tags.get("answers"))
    if not question or not answers:
        return "no answers" if question else "no question"
    return question, answers


def shares(answers: Any) -> dict[str, float]:
    """Cleaned answers and how much each weighs, 1 in all: of a string, a list, or counts by answer."""
    given: list[Any] = [answers] if isinstance(answers, str) else [*answers] if isinstance(answers, list) else []
    counts: Mapping[Any, Any] = answers if isinstance(answers, Mapping) else {}
    heard: dict[str, float] = {}
    for answer, count in (*((answer, 1) for answer in given), *counts.items()):
        words = clean(str(answer))
        if words and isinstance(count, int | float) and count > 0:
            heard[words] = heard.get(words, 0.0) + count
    return {answer: count / sum(heard.values()) for answer, count in heard.items()}


def _tokens(texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> list[Tensor]:
    text = tokenizer.encode(texts, max_length=longest)
    return [ids[mask] for ids, mask in zip(text.ids, text.mask, strict=True)]


def _text(rows: Sequence[Tensor], pad: int) -> Text:
    return padded([row.tolist() for row in rows], pad)


def _identity(text: str) -> int:
    """63 bits that are the same for equal texts, in any process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
