"""What callers may hand over: one or many, and both sides must agree."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from chiasm.core.ability import Picture
from chiasm.core.errors import check_whole
from chiasm.data.clips import Both, Clip
from chiasm.predictor.templates import ENSEMBLES

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Given(Generic[Item]):
    """Inputs as a list, and whether the caller gave a single one."""

    items: list[Item]
    alone: bool

    def __len__(self) -> int:
        return len(self.items)

    def answer(self, answers: list[Answer]) -> Answer | list[Answer]:
        """One for one, a list for a list."""
        return answers[0] if self.alone else answers


def pictures(images: Picture) -> Given[Picture]:
    """A picture in any form, or several; an array or tensor of four dimensions is several, a `Clip` is one."""
    match images:
        case np.ndarray() | Tensor() if images.ndim == 4:
            return Given(list(images), alone=False)
        case str() | bytes() | Path() | Image.Image() | np.ndarray() | Tensor() | Both() | Clip():
            return Given([images], alone=True)
        case Iterable():
            return Given([*images], alone=False)
        case _:
            raise ValueError(f"a picture is a path, a PIL image, an array or a tensor, but no {type(images).__name__}")


def texts(words: str | Iterable[str], *, what: str = "texts") -> Given[str]:
    """A text, or several."""
    match words:
        case str():
            return Given([words], alone=True)
        case Iterable():
            items: list[Any] = [*words]
        case _:
            raise ValueError(f"{what} must be strings, but {type(words).__name__} was given")
    if odd := [f"number {i} is {type(item).__name__}" for i, item in enumerate(items) if not isinstance(item, str)]:
        raise ValueError(f"{what} must be strings, but {odd[0]}")
    return Given(items, alone=False)


def pairs(images: int, words: int) -> int:
    """How many pairs so many pictures and texts are: row by row, or one of either side with all of the other."""
    if images != words and 1 not in {images, words}:
        raise ValueError(f"{images} pictures and {words} texts: give as many of both, or one of either")
    return min(images, words) and max(images, words)


def prompts(prompt: str | Iterable[str] | None, rows: int) -> list[str]:
    """What each of `rows` captions begins with."""
    if prompt is None or isinstance(prompt, str):
        return [prompt or ""] * rows
    items = texts(prompt, what="prompts").items
    if len(items) != rows:
        raise ValueError(f"{len(items)} prompts and {rows} pictures: give one prompt, or one a picture")
    return items


def seeds(seed: int | Iterable[int] | None, rows: int) -> list[int] | None:
    """A seed for each of `rows`: given one by one, or derived from a single one and the row's number."""
    if seed is None:
        return None
    if isinstance(seed, str) or not isinstance(seed, Iterable):
        check_whole("seed", seed)
        return [seed_of(int(seed), row) for row in range(rows)]
    own = [*seed]
    for row, one in enumerate(own):
        check_whole(f"seed {row}", one)
    if len(own) != rows:
        raise ValueError(f"{len(own)} seeds and {rows} pictures: give one seed, or one a picture")
    return own


def filled(templates: str | Iterable[str], names: Sequence[str]) -> list[str]:
    """Every name in the first template, then every name in the second, ...; "imagenet" is known by its name."""
    known = ENSEMBLES.get(templates) if isinstance(templates, str) else None
    forms = texts(known or templates, what="templates").items
    if not forms:
        raise ValueError("there are no templates; leave them out to take the labels as they are")
    if odd := [form for form in forms if "{}" not in form]:
        raise ValueError(
            f"a template says with {{}} where the label goes, but {odd[0]!r} does not; "
            f"known by name: {', '.join(ENSEMBLES)}"
        )
    return [form.replace("{}", name) for form in forms for name in names]


def seed_of(seed: int, row: int) -> int:
    """What row `row` of a list is given where there is one seed for all."""
    digest = hashlib.blake2b(f"{seed} {row}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
