"""Turn a stage into frozen parameters, optimiser groups and module modes."""

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from chiasm.core.errors import unknown
from chiasm.core.stage import Stage


def groups(model: nn.Module, stage: Stage, *, weight_decay: float) -> list[dict[str, Any]]:
    """Freeze `model` for `stage`; return the optimiser's groups, each with its `scale` of the learning rate.

    Norms, biases and everything else of less than two dimensions does not decay. A parameter that
    its module built without a gradient stays frozen whatever the stage says, so a stage is applied
    to a model that was just built.
    """
    names = aliases(model)
    claimed: dict[str, list[nn.Parameter]] = {path: [] for path in stage.train}
    for parameter, known in names.items():
        path = next((path for path in stage.train if any(covers(path, name) for name in known)), None)
        learns = path is not None and parameter.requires_grad
        parameter.requires_grad_(learns)
        if path is not None and learns:
            claimed[path].append(parameter)
    everything = [name for known in names.values() for name in known]
    for path in (path for path, found in claimed.items() if not found):
        raise _idle(path, stage, everything)
    return [
        {"params": part, "scale": stage.train[path], "weight_decay": decay}
        for path, found in claimed.items()
        for part, decay in (
            ([p for p in found if p.ndim >= 2], weight_decay),
            ([p for p in found if p.ndim < 2], 0.0),
        )
        if part
    ]


def set_mode(model: nn.Module) -> None:
    """Train mode where something learns; eval mode, dropout included, where nothing does."""
    model.train()
    for module in model.modules():
        parameters = tuple(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def covers(path: str, name: str) -> bool:
    """Whether `name` is `path` or below it; `*` stands for one component or a part of one."""
    pattern = re.escape(path).replace(r"\*", "[^.]*")
    return re.fullmatch(rf"{pattern}(\..*)?", name) is not None


def aliases(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    """Every parameter once, with all names that lead to it."""
    found: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found.setdefault(parameter, []).append(name)
    return found


def _idle(path: str, stage: Stage, names: Iterable[str]) -> ValueError:
    """Why a path trains nothing: misspelt, or too late."""
    if any(covers(path, name) for name in names):
        return ValueError(
            f"stage {stage.name!r} trains {path!r}, but all of it is frozen by its module or claimed by an earlier path"
        )
    depth = path.count(".") + 1
    heads = (".".join(name.split(".")[:depth]) for name in names)
    choices = {re.sub(r"(?<=\.)\d+(?=\.|$)", "*", head) for head in heads}  # layers.0, layers.1: layers.*
    return unknown(f"path to train in stage {stage.name!r}", path, choices)
