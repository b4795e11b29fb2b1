"""Runs in a row, each starting from the one before, in a folder that remembers all of them.

Of several processes only the first needs to see that folder: it tells the others.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from chiasm.core import ranks
from chiasm.core.config import to_json
from chiasm.core.files import differing, read_record, write_atomic
from chiasm.core.stage import Stage
from chiasm.nn.recompute import recompute
from chiasm.training.checkpoint import check
from chiasm.training.inherit import inherit, take
from chiasm.training.loop import CHECKPOINTS, fit
from chiasm.training.run import Brought, Run, Step
from chiasm.training.together import own
from chiasm.weights.folder import DONE, MODEL, load_model
from chiasm.weights.state import moved, state

OPTIONS = "run.json"


def train(
    runs: Sequence[Run],
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    start: nn.Module | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> nn.Module:
    """Do what is not done yet of `runs` in `folder`, and return the last one's model, in eval mode.

    The same call again goes on where it stopped, or returns at once; other options on an old folder
    are an error. The first run inherits from `start`, every later one from the run before. Processes
    that torchrun started call it together, each on its own device, inside of `together()`.
    """
    previous, device, outcomes = start, own(torch.device(device)), dict[str, nn.Module]()
    wanted = {brought.source for run in runs for brought in run.brought.values()}
    for number, run in enumerate(runs, start=1):
        place = folder / f"{number}-{run.name}"
        previous = previous if run.start is None else run.start
        parts = _Parts(previous, {path: _found(each, outcomes, run.name) for path, each in run.brought.items()})
        asked = _agreed_options(run, parts)
        if not ranks.told(ranks.rank() == 0 and _claim(place, number, run.name, asked)):
            _do(run, parts, device, partial(fit, folder=place, on_step=on_step, on_note=on_note))
        previous = _outcome(run, place, device)
        if run.name in wanted:
            outcomes[run.name] = previous
    if previous is None:
        raise ValueError(f"there are no runs to do in {folder}")
    return previous


class _Parts(NamedTuple):
    """What a run begins with: the model before it, and what is brought to paths of its own."""

    previous: nn.Module | None
    brought: Mapping[str, nn.Module]


def _found(brought: Brought, outcomes: Mapping[str, nn.Module], name: str) -> nn.Module:
    source = outcomes.get(brought.source) if isinstance(brought.source, str) else brought.source
    if source is None:
        raise ValueError(
            f"run {name!r} is brought something by run {brought.source!r}, but no run before it has that name"
        )
    return source.get_submodule(brought.path)


def _do(run: Run, parts: _Parts, device: torch.device, fitted: Callable[[Run, nn.Module], None]) -> None:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        model = run.model.build()
        inherit(model, parts.previous, run.stage)
        for path, part in parts.brought.items():
            take(model, part, {path: ""}, by=f"run {run.name!r}")
        if run.adapter is not None:
            run.adapter.add(model)
        for path in run.recompute:
            recompute(_layers(model, path, run.name))
        fitted(run, moved(model, device=device))


def _layers(model: nn.Module, path: str, name: str) -> Iterator[nn.Module]:
    try:
        return model.get_submodule(path).children()
    except AttributeError:
        raise ValueError(f"run {name!r} recomputes {path!r}, but its model has no such list of layers") from None


def _outcome(run: Run, place: Path, device: torch.device) -> nn.Module:
    """The model that a finished run left behind."""
    if ranks.rank() == 0:
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        model, _ = load_model(place / MODEL, device=device)
    else:
        with torch.random.fork_rng(devices=[]):
            model = moved(run.model.build(), device=device).eval()
    for tensor in state(model).values():
        ranks.agreed(tensor)
    return model


def _agreed_options(run: Run, parts: _Parts) -> dict[str, Any]:
    """What is asked for, by all processes."""
    asked: dict[str, Any] = json.loads(json.dumps(_options(run, parts)))
    if changed := differing(ranks.told(asked), asked):
        told = ", ".join(f"{name} is {was} there and {now} here" for name, was, now in changed)
        raise ValueError(f"process 0 was asked for something else than process {ranks.rank()}: {told}")
    return asked


def _claim(place: Path, number: int, name: str, asked: Mapping[str, Any]) -> bool:
    """Write down what is asked for, and tell whether it is done; raise if the folder was made by something else."""
    if others := sorted(path.name for path in place.parent.glob(f"{number}-*") if path.name != place.name):
        raise ValueError(f"{place.parent} holds run {others[0]}, but run {number} is now {name!r}: use another folder")
    path = place / OPTIONS
    if not path.is_file():
        write_atomic(path, (json.dumps(asked, indent=2) + "\n").encode())
        return False
    if changed := differing(read_record(path), asked):
        told = ", ".join(f"{name} was {was} and is now {now}" for name, was, now in changed)
        raise ValueError(f"{place} was begun with other options: {told}; use another folder, or delete this one")
    return (place / DONE).is_file()


def _options(run: Run, parts: _Parts) -> dict[str, Any]:
    """All that decides the outcome, as JSON; `checkpoint_every` and `recompute` do not."""
    plain = ("name", "system", "preset", "steps", "lr", "min_lr", "warmup", "weight_decay", "betas", "clip")
    rest = ("accumulate", "seed", "validate_every", "best")
    return {
        **{name: getattr(run, name) for name in (*plain, *rest)},
        "precision": str(run.precision),
        "validated": run.validate is not None,
        "stage": _stage(run.stage),
        "model": to_json(run.model),
        "pixels": to_json(run.pixels),
        "about": dict(run.about),
        "adapter": None if run.adapter is None else to_json(run.adapter),
        "start": check(parts.previous) if run.stage.inherit and parts.previous is not None else "",
        "brought": {path: check(part) for path, part in parts.brought.items()},
    }


def _stage(stage: Stage) -> dict[str, Any]:
    train = [f"{path}: {scale}" for path, scale in stage.train.items()]  # the order counts
    return {"name": stage.name, "train": train, "losses": dict(stage.losses), "inherit": dict(stage.inherit)}
