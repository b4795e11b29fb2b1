"""Things to do about pictures, and what should be said: rows for a language model that is shown them.

    picture, text                  a short caption:                                        a red star
    picture, question, answers     Question: what colour is the star? Short answer:        red

What to do is said in one of several templates, drawn anew in every epoch; so is the answer, by how many
people gave it (InstructBLIP, arXiv:2305.06500, section 2.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from jaxtyping import Float
from torch import Tensor

from chiasm.core.ability import Picture
from chiasm.core.types import Instructed, Prompt, Text, Worded
from chiasm.data.batches import asked
from chiasm.data.pairs import Pair
from chiasm.data.perceive import shows
from chiasm.data.prompts import Prompter, Told
from chiasm.data.text import Tokenizer, clean


@dataclass(frozen=True)
class Instructions:
    """A picture, an instruction, and what should be said to it.

    A pair with the tags `question` and `answers` is asked in one of the `ask` templates, in which {} is the
    question; any other is described in one of `describe`. Lengths count tokens; of an instruction that is
    too long the first words go.
    """

    prompter: Prompter
    describe: tuple[str, ...] = ("",)
    ask: tuple[str, ...] = ("{}",)
    sense: str = "image"
    longest: int = 128
    longest_said: int = 256

    def pictures(self, pair: Pair) -> Sequence[Picture]:
        return [pair.image]

    def read(self, pairs: Sequence[Pair], _tokenizer: Tokenizer) -> Sequence[Any]:
        return [_task(pair) for pair in pairs]

    def vary(self, words: tuple[str | None, Mapping[str, float]], rng: Random) -> tuple[str, str]:
        """An instruction and what should be said, for one epoch."""
        question, said = words
        template = rng.choice(self.describe if question is None else self.ask)
        (answer,) = rng.choices([*said], [*said.values()])
        return template if question is None else template.format(question), answer

    def batch(self, images: Float[Tensor, "b k 3 h w"], words: Sequence[Any], _pad: int) -> Instructed:
        return Instructed({self.sense: images}, *self.texts([([self.sense], *row) for row in words]))

    def texts(self, rows: Sequence[tuple[Sequence[str | Told], str, str]]) -> tuple[Prompt, Text]:
        """Prompts and what should be said to them, of what is shown or told, instruction and answer."""
        turns = [self.prompter.turn(things, instruction) for things, instruction, _ in rows]
        prompt = self.prompter(turns, [instruction for _, instruction, _ in rows], longest=self.longest)
        return prompt, self.prompter.said([said for *_, said in rows], longest=self.longest_said)


@dataclass(frozen=True)
class Sensed:
    """The same about whatever pairs show, to any of the senses: a loader of `perceive.Senses` takes it.

    Where a pair has the tag `things`, these are what it is about, in order: a sense that is shown one of the pair's,
    or a sense and words, where the thing is told instead: `["image", ["audio", "a small red circle"]]`.
    """

    told: Instructions

    def pictures(self, _pair: Pair) -> Sequence[Picture]:
        return []

    def read(self, pairs: Sequence[Pair], _tokenizer: Tokenizer) -> Sequence[Any]:
        tasks = [(_things(pair), _task(pair)) for pair in pairs]
        return [next((part for part in task if isinstance(part, str)), task) for task in tasks]

    def vary(self, words: tuple[Sequence[str | Told], Any], rng: Random) -> tuple[Sequence[str | Told], Any]:
        """What it is about, an instruction and what should be said, for one epoch."""
        return words[0], self.told.vary(words[1], rng)

    def batch(self, shown: Mapping[str, Float[Tensor, "n f ..."]], words: Sequence[Any], _pad: int) -> Instructed:
        rows = [(things, instruction, said) for things, (instruction, said) in words]
        return Instructed(shown, *self.told.texts(rows))


@dataclass(frozen=True)
class Halves:
    """The beginning of a text and how it goes on, cut between two words, anew in every epoch.

    Any place is as likely as any other, and both parts have at least one word (BLIP-2, arXiv:2301.12597, section
    3.3); a text of one word is all said.
    """

    def vary(self, words: Sequence[str], rng: Random) -> tuple[str, str]:
        """The two parts, for one epoch."""
        cut = rng.randint(1, len(words) - 1) if len(words) > 1 else 0
        return " ".join(words[:cut]), " ".join(words[cut:])


@dataclass(frozen=True)
class Whole:
    """Nothing is given, all is said."""

    def vary(self, words: Sequence[str], _rng: Random) -> tuple[str, str]:
        """The two parts, for one epoch."""
        return "", " ".join(words)


@dataclass(frozen=True)
class Behind:
    """What stands behind a word is said, all up to it is given: answers, of texts that say where they begin."""

    word: str

    def vary(self, words: Sequence[str], _rng: Random) -> tuple[str, str]:
        """The two parts, for one epoch."""
        cut = words.index(self.word) + 1 if self.word in words else 0
        return " ".join(words[:cut]), " ".join(words[cut:])


@dataclass(frozen=True)
class Continuations:
    """A picture, how its text begins, and how it goes on: what language models of two halves learn in BLIP-2."""

    prompter: Prompter
    sense: str = "image"
    longest: int = 32

    def pictures(self, pair: Pair) -> Sequence[Picture]:
        return [pair.image]

    def read(self, pairs: Sequence[Pair], _tokenizer: Tokenizer) -> Sequence[Any]:
        return [_words(pair) for pair in pairs]

    def vary(self, words: Sequence[str], rng: Random) -> tuple[str, str]:
        """The two parts, for one epoch."""
        return Halves().vary(words, rng)

    def batch(self, images: Float[Tensor, "b k 3 h w"], words: Sequence[Any], pad: int) -> Instructed:
        return Instructions(self.prompter, sense=self.sense, longest=self.longest).batch(images, words, pad)


@dataclass(frozen=True)
class Texts:
    """Texts without pictures: what a language model learns before it is shown any.

    A decoder says all of them (`Whole`); what has an encoder too reads how they begin (`Halves`), and what is to
    answer reads all up to the answer (`Behind`).
    """

    prompter: Prompter
    parts: Whole | Halves | Behind = Whole()
    longest: int = 64

    def pictures(self, _pair: Pair) -> Sequence[Picture]:
        return []

    def read(self, pairs: Sequence[Pair], _tokenizer: Tokenizer) -> Sequence[Any]:
        return [_words(pair, self.longest) for pair in pairs]

    def vary(self, words: Sequence[str], rng: Random) -> tuple[str, str]:
        """The two parts, for one epoch."""
        return self.parts.vary(words, rng)

    def batch(self, _images: Float[Tensor, "b 0 3 h w"], words: Sequence[Any], _pad: int) -> Worded:
        given = self.prompter([[begin] for begin, _ in words], [], longest=self.longest)
        return Worded(given.words, self.prompter.said([said for _, said in words], longest=self.longest))


def _words(pair: Pair, most: int = 30) -> Any:
    return clean(pair.text, max_words=most).split() or "no text"


def _things(pair: Pair) -> Any:
    """What is shown, by sense, and what is told; or what is wrong with that."""
    shown = [sense for sense, _ in shows(pair)]
    things = pair.tags.get("things", shown)
    things = things if isinstance(things, list | tuple) else [things]
    told = [isinstance(thing, list | tuple) and [*map(type, thing)] == [str, str] for thing in things]
    if [thing for thing, words in zip(things, told, strict=True) if not words] != shown:
        return (
            f"its things are {things}, but it shows {', '.join(shown)}, and a thing that is told has a sense and words"
        )
    return [Told(*thing) if words else thing for thing, words in zip(things, told, strict=True)]


def _task(pair: Pair) -> Any:
    """A question or None, and what may be said with how often; or the reason why there is nothing."""
    if pair.tags.get("answers"):
        return asked(pair)
    text = clean(pair.text)
    return (None, {text: 1.0}) if text else "no text"
