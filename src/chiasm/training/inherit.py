"""Begin where another model ended: `Stage.inherit`, our path -> the path there."""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from chiasm.core.ability import Restarts
from chiasm.core.errors import unknown
from chiasm.core.stage import Stage
from chiasm.weights.state import fitted, lent

LAST = "-*"  # a list's last modules


@torch.no_grad()
def inherit(model: nn.Module, previous: nn.Module | None, stage: Stage) -> None:
    """Copy what `stage` takes over from `previous` into `model`.

    Every tensor under our path needs one of its shape under theirs, or of a shape that its module can
    adapt; what is left over there (a queue, another head) stays behind. Parts of ours that only training
    needs, and that `previous` has nothing of, begin anew. Any name of a tied tensor will do, on both sides.
    """
    if not stage.inherit:
        return
    if previous is None:
        raise ValueError(f"stage {stage.name!r} inherits from the stage before it, but there is no model to start from")
    take(model, previous, stage.inherit, by=f"stage {stage.name!r}")


@torch.no_grad()
def take(model: nn.Module, previous: nn.Module, paths: Mapping[str, str], *, by: str) -> None:
    """The same with any model and any paths; `by` says on whose behalf."""
    values, anew = _taken(model, previous, paths, by)
    own = model.state_dict()
    for name, value in values.items():
        own[name].copy_(value)
    for part in anew:
        part.restart()
    for name, value in values.items():
        if not torch.equal(own[name], value.to(own[name])):
            raise ValueError(f"{name} is tied, but the previous model has several tensors for it")


def _taken(
    model: nn.Module, previous: nn.Module, paths: Mapping[str, str], by: str
) -> tuple[dict[str, Tensor], list[Restarts]]:
    """What each of our tensors becomes, in its shape, and the parts for which there is nothing."""
    own, given = model.state_dict(), previous.state_dict()
    names: dict[str, str] = {}
    for ours, theirs in paths.items():
        names |= _below(ours, theirs, own, given, by)
    names = _without_lent(names, lent(model), lent(previous), by)
    anew: list[Restarts] = []
    for path, part in model.named_modules():
        below = [name for name in names if name.startswith(f"{path}.")]
        if isinstance(part, Restarts) and not any(names[name] in given for name in below):
            anew.append(part)
            names = {name: source for name, source in names.items() if name not in below}
    if lacking := [source for source in names.values() if source not in given]:
        raise ValueError(f"{by} inherits {', '.join(lacking)}, which the previous model does not have")
    values = fitted(model, own, {name: given[source] for name, source in names.items()})
    for name, value in values.items():
        if own[name].shape != value.shape:
            raise ValueError(
                f"{by} inherits {name} of shape {tuple(own[name].shape)} "
                f"from {names[name]} of shape {tuple(value.shape)}"
            )
    return values, anew


def _without_lent(
    names: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str], by: str
) -> dict[str, str]:
    """All but what is lent, which both must have from the same lender; what only one of them has is no weight."""
    kept = dict[str, str]()
    for name, source in names.items():
        to, of = _lender(name, ours), _lender(source, theirs)
        if to != of:
            raise ValueError(
                f"{by} inherits {name}, which is {to or 'its own'} here and {of or 'its own'} in the previous model: "
                "what is packed is neither given nor taken, so load the same on both sides, packed alike"
            )
        if not to:
            kept[name] = source
    return kept


def _lender(name: str, parts: Mapping[str, str]) -> str:
    """Whose a tensor is; the whole model has the path ""."""
    return next((lender for path, lender in parts.items() if name.startswith(f"{path}." if path else "")), "")


def _below(ours: str, theirs: str, own: Iterable[str], given: Iterable[str], by: str) -> dict[str, str]:
    """Our names at `ours` or under it, each with its name there."""
    pattern = re.escape(ours).replace(r"\*", "([^.]*)") + r"(\..*)?" if ours else r"(.*)"
    found = {name: match.groups("") for name in own if (match := re.fullmatch(pattern, name))}
    if not found:
        raise unknown(f"path to inherit in {by}", ours, {name.partition(".")[0] for name in own})
    if LAST in theirs:
        later = _count(theirs.partition(LAST)[0], given) - _count(ours.partition("*")[0], own)
        found = {name: (str(int(star) + later), *rest) for name, (star, *rest) in found.items()}
    return {name: _filled(theirs, stars, rest).strip(".") for name, (*stars, rest) in found.items()}


def _count(stem: str, names: Iterable[str]) -> int:
    """How many modules a list has whose names begin with `stem`."""
    return len({name.removeprefix(stem).partition(".")[0] for name in names if name.startswith(stem)})


def _filled(path: str, stars: Sequence[str], rest: str) -> str:
    """A path with its stars in place, and what is below it."""
    for star in stars:
        path = path.replace(LAST if LAST in path else "*", star, 1)
    return f"{path}.{rest.strip('.')}"
