"""Begin where another model ended: `Stage.inherit`, our path -> the path there."""

import torch
from torch import Tensor, nn

from chiasm.core.errors import unknown
from chiasm.core.stage import Stage


@torch.no_grad()
def inherit(model: nn.Module, previous: nn.Module | None, stage: Stage) -> None:
    """Copy what `stage` takes over from `previous` into `model`.

    Every tensor under our path needs one of its shape under theirs; what is left over there (a
    queue, another head) stays behind. Any name of a tied tensor will do, on both sides.
    """
    if not stage.inherit:
        return
    if previous is None:
        raise ValueError(f"stage {stage.name!r} inherits from the stage before it, but there is no model to start from")
    own, given = model.state_dict(), previous.state_dict()
    taken: dict[str, str] = {}
    for ours, theirs in stage.inherit.items():
        taken |= _below(ours, theirs, own, stage)
    _require(taken, own, given, stage)
    for name, source in taken.items():
        own[name].copy_(given[source])
    for name, source in taken.items():
        if not torch.equal(own[name], given[source].to(own[name])):
            raise ValueError(f"{name} is tied, but the previous model has several tensors for it, {source} among them")


def _require(taken: dict[str, str], own: dict[str, Tensor], given: dict[str, Tensor], stage: Stage) -> None:
    if lacking := [source for source in taken.values() if source not in given]:
        raise ValueError(f"stage {stage.name!r} inherits {', '.join(lacking)}, which the previous model does not have")
    for name, source in taken.items():
        if own[name].shape != given[source].shape:
            raise ValueError(
                f"stage {stage.name!r} inherits {name} of shape {tuple(own[name].shape)} "
                f"from {source} of shape {tuple(given[source].shape)}"
            )


def _below(ours: str, theirs: str, own: dict[str, Tensor], stage: Stage) -> dict[str, str]:
    """Our names at `ours` or under it, each with its name there."""
    rests = {
        name: name.removeprefix(ours).strip(".") for name in own if f"{name}.".startswith(f"{ours}." if ours else "")
    }
    if not rests:
        raise unknown(f"path to inherit in stage {stage.name!r}", ours, {name.partition(".")[0] for name in own})
    return {name: ".".join(part for part in (theirs, rest) if part) for name, rest in rests.items()}
