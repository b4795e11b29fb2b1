"""What a file in `chiasm.systems` has to say for itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from chiasm.core.dialect import Layout
from chiasm.core.stage import Stage
from chiasm.core.types import Fit


@runtime_checkable
class Config(Protocol):
    """A frozen dataclass that knows how to become a module."""

    def build(self) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokenizer of a family of models: its name on the hub, the commit, and how many words such a model has."""

    name: str
    revision: str
    words: int


@dataclass(frozen=True, kw_only=True)
class System:
    """One published method: where it comes from, in what sizes, trained how, and what its files leave out.

    `weights` are the authors' own: names on the hub, or addresses of files to download and `load`.
    """

    paper: str
    presets: Mapping[str, Callable[[], Config]]
    stages: tuple[Stage, ...]
    layouts: tuple[Layout, ...] = ()
    fit: Fit = Fit.SQUASH
    vocabulary: Vocabulary | None = None
    weights: tuple[str, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)
