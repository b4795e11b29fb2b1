"""Captions of a world whose truth is known: right as a whole, and right in each attribute."""

from collections.abc import Hashable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Facts = Mapping[str, Hashable]


def exact(said: Sequence[str], true: Sequence[str]) -> Float[Tensor, " n"]:
    """1 where a caption is the true one, word for word; case, spaces and a final full stop aside."""
    return _marks([_plain(ours) == _plain(theirs) for ours, theirs in zip(said, true, strict=True)])


def attributes(said: Sequence[Facts | None], true: Sequence[Facts]) -> dict[str, Float[Tensor, " _"]]:
    """For each attribute, 1 where it is right, over the captions whose truth has that attribute.

    None is a caption that means nothing: it is wrong in everything. What a caption adds to the truth
    costs it `exact`, but no attribute.
    """
    marks: dict[str, list[bool]] = {}
    for ours, theirs in zip(said, true, strict=True):
        for name, value in theirs.items():
            marks.setdefault(name, []).append(ours is not None and name in ours and ours[name] == value)
    return {name: _marks(items) for name, items in marks.items()}


def captioning(
    said: Sequence[str], true: Sequence[str], said_facts: Sequence[Facts | None], true_facts: Sequence[Facts]
) -> dict[str, Float[Tensor, " _"]]:
    """All of it: `caption_exact` and a `caption_<attribute>` each; the means are the numbers to report."""
    parts = attributes(said_facts, true_facts)
    return {"caption_exact": exact(said, true)} | {f"caption_{name}": marks for name, marks in parts.items()}


def _plain(text: str) -> str:
    return " ".join(text.lower().rstrip(" .").split())


def _marks(items: Sequence[bool]) -> Float[Tensor, " n"]:
    return torch.tensor(items, dtype=torch.double)
