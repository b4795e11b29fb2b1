"""The web's noise, each wrong text flagged with its kind, so that a filter can be scored.

BLIP's alt-texts (arXiv:2201.12086, section 3.3) often say nothing of what is on the picture; here
are the usual ways: another picture's text, one wrong word, a file name, an advert, small talk.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from random import Random

ADVERTS = (
    "buy now and save {n} percent , free shipping",
    "hot sale ! only {n} left in stock , order today",
    "best price online , {n} day returns , shop now",
    "click here for {n} more great deals this week",
    "limited offer : download {n} wallpapers for free",
    "subscribe to our newsletter and win {n} prizes",
)
TOPICS = (
    "we had a lovely time with the whole family in {n}",
    "posted by admin , {n} comments",
    "my trip to the mountains , day {n}",
    "the meeting has been moved to room {n}",
    "happy birthday to my best friend who turns {n}",
    "top {n} tips for a better night of sleep",
    "chapter {n} of the story you have all been waiting for",
    "it rained for {n} days and then the sun came out",
)
FILES = ("img {n}.jpg", "dsc{n:05d}.jpg", "IMG_{n}.JPG", "image{n}.png", "screenshot {n}.png", "untitled-{n}.jpeg")


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A share `rate` of all texts is wrong; the rest of the fields weigh the ways to be wrong."""

    rate: float
    swap: float = 4.0
    attribute: float = 3.0
    file: float = 1.0
    advert: float = 1.0
    topic: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"the share of wrong texts is {self.rate}, but a share lies between 0 and 1")
        if min(self.weights().values()) < 0 or not any(self.weights().values()):
            raise ValueError(f"weights of noise are 0 or more, and some kind above 0, but these are {self.weights()}")

    def weights(self) -> dict[str, float]:
        """The kinds and how often each comes, relative to the others."""
        return {kind: value for kind, value in vars(self).items() if kind in KINDS}


KINDS = tuple(field.name for field in fields(Noise) if field.name != "rate")


def spoil(
    text: str,
    rng: Random,
    noise: Noise,
    *,
    swap: Callable[[Random], str],
    attribute: Callable[[Random], str],
) -> tuple[str, str]:
    """A text as the web would have it, and the kind of noise, "" where it is left right.

    `swap` draws a caption of another picture, `attribute` this one's with one wrong word; both
    promise a text that is false of the picture.
    """
    if rng.random() >= noise.rate:
        return text, ""
    weights = noise.weights()
    kind = rng.choices(list(weights), weights=list(weights.values()))[0]
    number = rng.randrange(2, 10_000 if kind == "file" else 100)
    makers: dict[str, Callable[[Random], str]] = {
        "swap": swap,
        "attribute": attribute,
        "file": lambda rng: rng.choice(FILES).format(n=number),
        "advert": lambda rng: rng.choice(ADVERTS).format(n=number),
        "topic": lambda rng: rng.choice(TOPICS).format(n=number),
    }
    return makers[kind](rng), kind
