"""How others name the tensors that we have: tables of rules, which `chiasm.weights` carries out both ways.

A rule speaks of a tensor, or of a module and everything below it. `{i}` and `{j}` stand for the
number of a layer. Every foreign name must be claimed by exactly one rule, and what a table reads it
can also write.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chiasm.core.types import Pixels


@dataclass(frozen=True)
class Rename:
    """The same tensors under another name; a number that a file may lack is then taken to be `value`."""

    theirs: str
    ours: str
    value: float | None = None


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Split:
    """One of theirs, after `forward`, is several of ours of equal size, one after the other along the first dimension.

    `inverse` undoes `forward`.
    """

    theirs: str
    ours: tuple[str, ...]
    forward: Callable[[Any], Any] = _same
    inverse: Callable[[Any], Any] = _same


@dataclass(frozen=True)
class Transform:
    """The same numbers in another shape; `inverse` undoes `forward`."""

    theirs: str
    ours: str
    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]


@dataclass(frozen=True)
class Tied:
    """A second copy, in the file, of what is also called `same`: checked when read, written again."""

    theirs: str
    same: str


@dataclass(frozen=True)
class Drop:
    """Theirs alone: neither needed nor written."""

    theirs: str
    reason: str


@dataclass(frozen=True)
class Own:
    """Ours alone, so never written: a number that is taken to be `value` when read, or what only training needs."""

    ours: str
    value: float | None = None


@dataclass(frozen=True)
class Zeros:
    """Ours alone, and never written: as many zeros as ours called `like` has numbers, which change nothing."""

    ours: str
    like: str


Rule = Rename | Split | Transform | Tied | Drop | Own | Zeros
Dialect = tuple[Rule, ...]


def mount(rules: Iterable[Rule], *, theirs: str = "", ours: str = "") -> Dialect:
    """A part's table where the part stands: below the prefix `theirs` in the file and `ours` in the model."""
    return tuple(_below(rule, theirs, ours) for rule in rules)


def _below(rule: Rule, theirs: str, ours: str) -> Rule:
    match rule:
        case Rename() | Transform():
            return replace(rule, theirs=theirs + rule.theirs, ours=ours + rule.ours)
        case Split():
            return replace(rule, theirs=theirs + rule.theirs, ours=tuple(ours + name for name in rule.ours))
        case Tied():
            return Tied(theirs + rule.theirs, theirs + rule.same)
        case Drop():
            return replace(rule, theirs=theirs + rule.theirs)
        case Own():
            return replace(rule, ours=ours + rule.ours)
        case Zeros():
            return Zeros(ours + rule.ours, ours + rule.like)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is known of weights before a tensor moves: their `config.json`, if they have one, and every shape."""

    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor that has to be there."""
        if name not in self.shapes:
            raise ValueError(f"the weights lack {name}")
        return self.shapes[name]

    def count(self, before: str) -> int:
        """How many layers there are: one more than the largest number after `before`."""
        numbers = (name[len(before) :].split(".", 1)[0] for name in self.shapes if name.startswith(before))
        return 1 + max((int(number) for number in numbers if number.isdigit()), default=-1)


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """How pictures are spoken of inside a config: reads `Pixels` where it says more than is usual, and writes them."""

    read: Callable[[Mapping[str, Any], Pixels], Pixels]
    write: Callable[[Pixels], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One of the forms that others publish a graph in.

    `fits` recognises it, `read` makes our config of theirs, or of the shapes where a file brings
    none, and `write` theirs of ours. `graph` is the type of our configs, of which it `holds` some or all;
    `format` is what a user calls the form: hf, lavis, ... A form without a config is a pickle, whose tensors
    lie under `inside`. Without `eyes`, a `preprocessor_config.json` says what becomes of pictures.
    """

    format: str
    graph: type
    fits: Callable[[Found], bool]
    read: Callable[[Found], Any]
    write: Callable[[Any], Mapping[str, Any]]
    rules: Dialect
    holds: Callable[[Any], bool] = lambda _: True
    more: Callable[[Any], Dialect] = lambda _: ()  # rules that differ by config, beside those that do not
    files: tuple[str, str] = ("config.json", "model.safetensors")
    inside: str | None = "model"
    eyes: Eyes | None = None

    def rules_for(self, config: Any) -> Dialect:
        """All of them, for a model of that config."""
        return (*self.rules, *self.more(config))
