"""Runs in a row, each starting from the one before, in a folder that remembers all of them."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chiasm.core.config import to_json
from chiasm.core.files import write_atomic
from chiasm.core.stage import Stage
from chiasm.training.checkpoint import check
from chiasm.training.inherit import inherit
from chiasm.training.loop import CHECKPOINTS, fit
from chiasm.training.run import Run, Step
from chiasm.weights.folder import DONE, MODEL, load_model

OPTIONS = "run.json"


def train(
    runs: Sequence[Run],
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    start: nn.Module | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> nn.Module:
    """Do what is not done yet of `runs` in `folder`, and return the last one's model, in eval mode.

    The same call again goes on where it stopped, or returns at once; other options on an old folder
    are an error. The first run inherits from `start`, every later one from the run before.
    """
    previous = start
    for number, run in enumerate(runs, start=1):
        place = folder / f"{number}-{run.name}"
        _claim(place, number, run, previous)
        if not (place / DONE).is_file():
            _do(run, place, previous, device=torch.device(device), on_step=on_step)
        shutil.rmtree(place / CHECKPOINTS, ignore_errors=True)
        previous, _ = load_model(place / MODEL, device=device)
    if previous is None:
        raise ValueError(f"there are no runs to do in {folder}")
    return previous


def _do(
    run: Run, place: Path, previous: nn.Module | None, *, device: torch.device, on_step: Callable[[Step], None] | None
) -> None:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(run.seed)
        model = run.model.build()
        inherit(model, previous, run.stage)
        fit(run, model.to(device), place, on_step=on_step)


def _claim(place: Path, number: int, run: Run, previous: nn.Module | None) -> None:
    """Write down what is asked for; raise if the folder was made by something else."""
    if others := sorted(path.name for path in place.parent.glob(f"{number}-*") if path.name != place.name):
        raise ValueError(
            f"{place.parent} holds run {others[0]}, but run {number} is now {run.name!r}: use another folder"
        )
    asked, path = _options(run, previous), place / OPTIONS
    if not path.is_file():
        write_atomic(path, (json.dumps(asked, indent=2) + "\n").encode())
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    was, now = _flat(old), _flat(json.loads(json.dumps(asked)))
    if differing := sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name)):
        told = ", ".join(f"{name} was {was.get(name)} and is now {now.get(name)}" for name in differing)
        raise ValueError(f"{place} was begun with other options: {told}; use another folder, or delete this one")


def _options(run: Run, previous: nn.Module | None) -> dict[str, Any]:
    """All that decides the outcome, as JSON; `checkpoint_every` does not."""
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
        "start": check(previous) if run.stage.inherit and previous is not None else "",
    }


def _stage(stage: Stage) -> dict[str, Any]:
    train = [f"{path}: {scale}" for path, scale in stage.train.items()]  # the order counts
    return {"name": stage.name, "train": train, "losses": dict(stage.losses), "inherit": dict(stage.inherit)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"stage": {"name": "align"}}` as `{"stage.name": "align"}`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
