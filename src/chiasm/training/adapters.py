"""LoRA: frozen projections learn by a detour of low rank (arXiv:2106.09685, section 4.1), built by peft.

x ─┬─ W ❄ ─────────────┬─ + ─
   └─ A ── B ── alpha/r ┘        B begins as zero; in the end W + alpha/r BA takes the place of W
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Adapter(Protocol):
    """What is trained in place of a model's own weights; a dataclass."""

    def add(self, model: nn.Module) -> None:
        """Freeze `model`, and put beside its weights what learns."""
        ...

    def merged(self, model: nn.Module) -> nn.Module:
        """A copy without anything beside its weights, which computes what `model` does."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """Detours of `rank` beside every projection of those names; what they add is weighed by `alpha / rank`."""

    rank: int
    alpha: int = 16
    names: tuple[str, ...] = ("q", "k", "v", "out", "up", "down")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}, and a detour needs at least 1")

    def add(self, model: nn.Module) -> None:
        peft, config = _peft(), {"r": self.rank, "lora_alpha": self.alpha, "target_modules": [*self.names]}
        peft.inject_adapter_in_model(peft.LoraConfig(**config), model)
        if packed := [path for path, layer in _detours(model) if not layer.get_base_layer().weight.is_floating_point()]:
            raise ValueError(
                f"a detour ends as part of the weights beside it, but those of {packed[0]} are packed: leave `packed` "
                "out, or name other projections"
            )

    def merged(self, model: nn.Module) -> nn.Module:
        plain = deepcopy(model)
        for path, layer in [*_detours(plain)]:
            layer.merge()
            owner, _, name = path.rpartition(".")
            plain.get_submodule(owner).register_module(name, layer.get_base_layer())
        return plain


def _detours(model: nn.Module) -> Iterator[tuple[str, Any]]:
    kind = _peft().tuners.lora.LoraLayer
    return ((path, module) for path, module in model.named_modules() if isinstance(module, kind))


def _peft() -> Any:
    try:
        return import_module("peft")  # an extra, and seconds to import
    except ImportError as error:
        raise ValueError("LoRA needs peft: pip install 'chiasm[lora]'") from error
