"""The few values that cross every floor: what a batch is, what a loss is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Losses = dict[str, Tensor]  # name -> scalar


@dataclass(frozen=True, kw_only=True)
class Markers:
    """Ids of a vocabulary's special tokens: `dec` opens a caption, `enc` a match, `sep` ends both."""

    pad: int
    cls: int
    sep: int
    mask: int
    dec: int
    enc: int


class Fit(Enum):
    """How a picture of any shape becomes a square."""

    SQUASH = auto()  # both sides to the size, whatever the shape was: ALBEF, BLIP
    CROP = auto()  # the shorter side to the size, then the middle: CLIP


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How a model wants its pictures: squares of `size` pixels, normalised by channel."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fit: Fit = Fit.SQUASH


@dataclass(frozen=True, kw_only=True)
class Frames:
    """How a sense wants what it sees: one picture, or so many of a video, at even distances."""

    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Waves:
    """How a sense wants what it hears: clips of so many `frames`, each `frame` samples long, `hop` samples apart."""

    rate: int = 16_000
    frames: int = 512
    frame: int = 400
    hop: int = 160
    clips: int | None = 2  # None: as many as a sound has


@dataclass(frozen=True, kw_only=True)
class Points:
    """How a sense wants what it feels: clouds of so many points."""

    count: int = 8192


Media = Frames | Waves | Points


@dataclass(frozen=True)
class Text:
    """Token ids, and a mask that is True on real tokens; every row has at least one."""

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Tensor | slice) -> "Text":
        return Text(self.ids[rows], self.mask[rows])

    def opened_by(self, token: int) -> "Text":
        """The same words with position 0 replaced: BLIP asks for matching or generation that way."""
        ids = self.ids.clone()
        ids[:, 0] = token
        return Text(ids, self.mask)

    def unclosed(self) -> "Text":
        """The same words without the token that ends them, where padding is on the right: ALBEF reads no [SEP]."""
        return Text(self.ids[:, :-1], self.mask[:, 1:])

    def to(self, device: torch.device | str) -> "Text":
        return Text(self.ids.to(device), self.mask.to(device))

    @staticmethod
    def cat(texts: Sequence["Text"]) -> "Text":
        """Rows of several texts of one width, one after the other."""
        return Text(torch.cat([t.ids for t in texts]), torch.cat([t.mask for t in texts]))


@dataclass(frozen=True)
class Worded:
    """Texts alone: what a language model is given of each, padded on the left, and what it should say then."""

    given: Text
    said: Text

    def __len__(self) -> int:
        return len(self.said)

    def to(self, device: torch.device | str) -> "Worded":
        return Worded(self.given.to(device), self.said.to(device))


@dataclass(frozen=True)
class ImageText:
    """Paired images and captions.

    Rows of equal `identity` mean the same thing (captions of one picture, or the same caption):
    they count as right for each other in contrast and are never drawn as negatives.
    """

    images: Float[Tensor, "b 3 h w"]
    text: Text
    identity: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "ImageText":
        return ImageText(self.images.to(device), self.text.to(device), self.identity.to(device))


@dataclass(frozen=True)
class Asked:
    """Pictures, a question about each, and its right answers: `rows` says whose an answer is, `weights` how right."""

    images: Float[Tensor, "b 3 h w"]
    question: Text
    answers: Text
    rows: Int[Tensor, " n"]
    weights: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "Asked":
        texts = self.question.to(device), self.answers.to(device)
        return Asked(self.images.to(device), *texts, self.rows.to(device), self.weights.to(device))


@dataclass(frozen=True)
class Labelled:
    """A text beside `k` pictures, and which of a few labels the two deserve."""

    images: Float[Tensor, "b k 3 h w"]
    text: Text
    label: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "Labelled":
        return Labelled(self.images.to(device), self.text.to(device), self.label.to(device))


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a family of language models is spoken to: the tokens around a prompt, and the words around what is asked.

    `start` stands before the first words, `close` behind the last ones, `end` behind what is said; None where a
    family has none. `question` is what a question becomes, and `turn` what is said in a conversation.
    """

    start: int | None
    close: int | None
    end: int
    pad: int
    before: str = ""
    after: str = ""
    question: str = "{}"
    turn: str = "{}"
    longest: int = 128  # tokens of a prompt
    image_token: int | None = None  # what files of transformers have where a picture is shown; here it is no token

    @staticmethod
    def place(sense: int) -> int:
        """The number, below zero, that stands among the tokens where something is shown to that sense."""
        return -1 - sense


@dataclass(frozen=True)
class Prompt:
    """What a language model is told: words, with places for what it is shown, padded on the left.

    `hint` is what the Q-Formers are told of it, in their own words; None where they are told nothing.
    """

    words: Text
    hint: Text | None = None

    def __len__(self) -> int:
        return len(self.words)

    def to(self, device: torch.device | str) -> "Prompt":
        return Prompt(self.words.to(device), None if self.hint is None else self.hint.to(device))


# What encoders made of everything shown, by sense: in one tensor where all of a sense has as many frames
Perceived = Mapping[str, Float[Tensor, "_ _ _ _"] | Sequence[Float[Tensor, "_ _ _"]]]


@dataclass(frozen=True)
class Instructed:
    """What is shown, by sense and in the order of its places, a prompt a row, and what should be said to it.

    Everything shown is a few frames long: a picture is one, a video several. What was `perceived` before comes as
    the states of its frames.
    """

    shown: Mapping[str, Float[Tensor, "_ _ ..."]]
    prompt: Prompt
    said: Text
    perceived: Mapping[str, Float[Tensor, "_ _ _ _"]] = field(default_factory=dict[str, Tensor])

    def __len__(self) -> int:
        return len(self.prompt)

    def to(self, device: torch.device | str) -> "Instructed":
        shown, perceived = (
            {sense: one.to(device) for sense, one in each.items()} for each in (self.shown, self.perceived)
        )
        return Instructed(shown, self.prompt.to(device), self.said.to(device), perceived)
