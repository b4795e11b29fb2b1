"""What a language model is told, as tokens with places for what it is shown.

    USER: [image] what is this? ASSISTANT:      ─ words, padded on the left
    what is this?                               ─ the hint, in the Q-Formers' own words

The tokens of every piece of a prompt are found by themselves, as the published models were trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from chiasm.core.types import Prompt, Text, Wording
from chiasm.data.text import Tokenizer, padded, padded_left


@dataclass(frozen=True)
class Shown:
    """A place in a prompt where something is shown to a sense."""

    sense: str


@dataclass(frozen=True)
class Told:
    """What a sense would perceive, in words instead: they come after what announces it."""

    sense: str
    words: str


@dataclass(frozen=True)
class Said:
    """What the model itself said before; it ends as all that it says does."""

    text: str


Piece = str | Shown | Told | Said


@runtime_checkable
class Words(Protocol):
    """A vocabulary, as far as prompts need one."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]: ...


@dataclass(frozen=True)
class Prompter:
    """Makes prompts for one model: `cues` are the words that announce what is shown, by sense.

    `hints` is the tokenizer of the Q-Formers; None where they are told nothing.
    """

    words: Words
    wording: Wording
    cues: Mapping[str, str]
    hints: Tokenizer | None = None

    def turn(self, things: Sequence[str | Told], text: str) -> list[Piece]:
        """One thing to do, about what is shown to some senses, or told; as in X-InstructBLIP the words come last."""
        shown = (Shown(thing) if isinstance(thing, str) else thing for thing in things)
        return [self.wording.before, *shown, text, self.wording.after]

    def tokens(self, pieces: Sequence[Piece], *, longest: int | None = None) -> list[int]:
        """Of one prompt; of one that is too `longest`, the first words go, and nothing that is shown."""
        senses, body = [*self.cues], list[int]()
        for piece in pieces:
            match piece:
                case Shown(sense) | Told(sense, _) if sense not in self.cues:
                    raise ValueError(f"the model has no sense for {sense}: it has {', '.join(senses)}")
                case Shown(sense):
                    body += [*self._of(self.cues[sense]), self.wording.place(senses.index(sense))]
                case Told(sense, words):
                    body += self._of(f"{self.cues[sense]}{words}")
                case Said(text):
                    body += [*self._of(text), self.wording.end]
                case text:
                    body += self._of(text)
        around = [token for token in (self.wording.start, self.wording.close) if token is not None]
        if longest is not None:
            body = _without_first_words(body, len(body) + len(around) - longest)
        return self._enclosed(body)

    def __call__(self, rows: Sequence[Sequence[Piece]], hints: Sequence[str], *, longest: int | None = None) -> Prompt:
        """A prompt a row; a hint that is longer than `longest` loses its first words too."""
        words = padded_left([self.tokens(row, longest=longest) for row in rows], self.wording.pad)
        return Prompt(words, None if self.hints is None else hint(self.hints, hints, longest=longest))

    def said(self, texts: Sequence[str], *, longest: int | None = None) -> Text:
        """What should be said, with the token that ends it."""
        room = None if longest is None else longest - 1
        return padded([[*ids[:room], self.wording.end] for ids in self.words.ids(texts)], self.wording.pad)

    def _of(self, text: str) -> list[int]:
        return self.words.ids([text])[0] if text else []

    def _enclosed(self, body: list[int]) -> list[int]:
        """With what stands before the first words, and behind the last."""
        start = [] if self.wording.start is None else [self.wording.start]
        close = [] if self.wording.close is None else [self.wording.close]
        first = next((place for place, token in enumerate(body) if token >= 0), len(body))
        return [*body[:first], *start, *body[first:], *close]


def hint(hints: Tokenizer, texts: Sequence[str], *, longest: int | None = None) -> Text:
    """What Q-Formers are told; of what is longer than `longest`, the last words."""
    room = 0 if longest is None else longest - 2
    return padded([[hints.start, *ids[-room:], hints.end] for ids in hints.ids(texts)], hints.pad)


def _without_first_words(body: Sequence[int], surplus: int) -> list[int]:
    kept = list[int]()
    for token in body:
        if token >= 0 and surplus > 0:
            surplus -= 1
        else:
            kept.append(token)
    return kept
