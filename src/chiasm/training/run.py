"""A run: one stage of a method, on some data, with a budget."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from chiasm.core.stage import Stage
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.training.adapters import Adapter
from chiasm.weights.folder import ModelCard, Tokenizer


@runtime_checkable
class Batch(Protocol):
    """What a graph's `forward` takes."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device | str) -> "Batch": ...


@runtime_checkable
class Loader(Protocol):
    """Batches without end; JSON can hold its state, from which it goes on with the very next batch.

    Where several processes train together, each one's loader gives its part of every batch, all of one size.
    """

    def __next__(self) -> Any: ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Brought:
    """What lies at a path of a model, or of the outcome of an earlier run, which is told by its name."""

    source: nn.Module | str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that a launch needs and nothing that belongs to the method.

    The names of `about` and what they hold (JSON) tell apart what no other field does: the data's
    fingerprint, a recipe's options. `best` names the metric of `validate` that decides which weights
    are kept, larger being better; "" keeps the last. Every process is asked to `validate`, and the mean counts.
    The stage inherits from `start`, or, where that is None, from the run before; what it does not inherit may be
    `brought` to a path of ours: a language model, a vision tower.
    With an `adapter` the stage's modules learn by what it puts into them, and the outcome is as plain as without.
    """

    name: str
    system: str
    preset: str
    stage: Stage
    model: Config
    data: Callable[[], Loader]
    pixels: Pixels
    tokenizer: Tokenizer
    hints: Tokenizer | None = None  # the Q-Formers', where it is another one
    steps: int
    lr: float
    min_lr: float = 0.0
    warmup: int = 0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    accumulate: int = 1  # batches a step
    precision: torch.dtype = torch.float32  # bfloat16: the forward under autocast
    seed: int = 0
    checkpoint_every: int = 500
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None
    validate_every: int = 0  # 0: after the last step only
    best: str = ""
    adapter: Adapter | None = None
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
    start: nn.Module | None = None
    brought: Mapping[str, Brought] = field(default_factory=dict[str, Brought])
    recompute: tuple[str, ...] = ()  # paths of lists of layers, whose insides are computed twice rather than kept

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"run {self.name!r} has {name} {getattr(self, name)}, but needs at least 1")
        if self.best and self.validate is None:
            raise ValueError(f"run {self.name!r} keeps the best {self.best!r}, but has no validate to measure it")
        if self.precision not in {torch.float32, torch.bfloat16}:
            raise ValueError(f"run {self.name!r} asks for {self.precision}: there are torch.float32 and torch.bfloat16")

    @property
    def card(self) -> ModelCard:
        return ModelCard(system=self.system, preset=self.preset, config=self.model, pixels=self.pixels)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What is known after a step: a line of `metrics.jsonl`, with no clock in it."""

    run: str
    steps: int  # of the whole run
    step: int  # 1 after the first
    pictures: int  # so far
    lr: float
    norm: float  # of the gradient, before it was clipped
    total: float
    losses: Mapping[str, float]
    validation: Mapping[str, float]
