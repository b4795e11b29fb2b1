"""What may be asked of decoding: how to choose, and how long; the words mean what they mean in transformers."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

from chiasm.core.errors import check_number, check_whole, unknown


@dataclass(frozen=True)
class Greedy:
    """The likeliest token at every step."""


@dataclass(frozen=True)
class Beam:
    """The best of several texts that grow side by side; one beam alone is greedy.

    Texts compete by their summed log-probability divided by `length ** length_penalty`, where the
    length counts new tokens and the end: above 0 favours long texts, below 0 short ones.
    """

    beams: int
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        check_whole("num_beams", self.beams, least=1)
        check_number("length_penalty", self.length_penalty)
        if not isfinite(self.length_penalty):
            raise ValueError(f"length_penalty is {self.length_penalty}, and must be a number; 0 leaves lengths alone")


@dataclass(frozen=True)
class Nucleus:
    """Draws from the smallest set of tokens whose probability reaches `top_p` (arXiv:1904.09751, section 3.1)."""

    top_p: float
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_number("top_p", self.top_p)
        check_number("temperature", self.temperature)
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p is {self.top_p}, and a probability above 0 and up to 1 is needed")
        if not self.temperature > 0.0:
            raise ValueError(f"temperature is {self.temperature}, and must be above 0; Greedy() is its limit at 0")


Strategy = Greedy | Beam | Nucleus
Chosen = TypeVar("Chosen", bound=Strategy)


def chosen(name: Any, *known: Chosen) -> Chosen:
    """One of those that are known, by the name of its type."""
    named = {type(each).__name__.lower(): each for each in known}
    if not isinstance(name, str) or name not in named:
        raise unknown("strategy", name, named)
    return named[name]


def check_returns(strategy: Strategy, returns: int) -> None:
    """Raise where a strategy cannot give so many texts a picture."""
    check_whole("num_return_sequences", returns, least=1)
    match strategy:
        case Greedy() if returns > 1:
            raise ValueError(f"greedy decoding has one text a picture, not {returns}: use Beam or Nucleus")
        case Beam(beams=beams) if returns > beams:
            raise ValueError(f"{beams} beams cannot give {returns} texts: use at least as many beams")
        case _:
            pass


@dataclass(frozen=True)
class Limits:
    """What every text keeps to.

    Lengths count new tokens; before `min_new_tokens` the end token is banned. `repetition_penalty`
    divides positive scores and multiplies negative ones of all tokens that a row already holds, its
    prompt included: above 1 discourages (arXiv:1909.05858, section 4.1).
    """

    max_new_tokens: int
    min_new_tokens: int = 0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        check_whole("max_new_tokens", self.max_new_tokens)
        check_whole("min_new_tokens", self.min_new_tokens)
        check_number("repetition_penalty", self.repetition_penalty)
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens is {self.min_new_tokens} and max_new_tokens is {self.max_new_tokens}: "
                "choose 0 <= min <= max"
            )
        if not (isfinite(self.repetition_penalty) and self.repetition_penalty > 0.0):
            raise ValueError(
                f"repetition_penalty is {self.repetition_penalty}, and must be a number above 0; 1 changes nothing"
            )
