"""What a file in `chiasm.systems` has to say for itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from chiasm.core.dialect import Layout
from chiasm.core.stage import Stage


@runtime_checkable
class Config(Protocol):
    """A frozen dataclass that knows how to become a module."""

    def build(self) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class System:
    """One published method: where it comes from, in what sizes, trained how."""

    paper: str
    presets: Mapping[str, Callable[[], Config]]
    stages: tuple[Stage, ...]
    layouts: tuple[Layout, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)
