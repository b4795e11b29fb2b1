"""The loop: batch, losses, gradient, step; it goes on from where it was killed as if it had not been.

1-pretrain/  run.json           what was asked for
             metrics.jsonl      one line a step, each step once, no clock in it
             pace.jsonl         pictures a second, which no two runs share
             checkpoints/       the last two, while it runs: every so many steps, or minutes, and when it is stopped
             best/  model/      model folders: the best by validation, and the outcome
             done.json          written last

Several processes do all of it together, each on its part of every batch; the first one writes.
"""

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chiasm.core import ranks
from chiasm.core.ability import Watches
from chiasm.core.errors import unknown
from chiasm.core.files import write_atomic, writing
from chiasm.core.types import Losses
from chiasm.data.sources.chance import chance
from chiasm.data.sources.record import Skipped, Summarised, summary
from chiasm.training.average import average, check_same
from chiasm.training.checkpoint import Position, restore, save
from chiasm.training.freeze import groups, set_mode
from chiasm.training.interrupt import Heard, heeding
from chiasm.training.optim import Schedule, adamw, clip, set_rate
from chiasm.training.run import Batch, Run, Step
from chiasm.weights.folder import DONE, MODEL, WEIGHTS, read_tensors, save_model
from chiasm.weights.state import copy_into

BEST, CHECKPOINTS, METRICS, PACE = "best", "checkpoints", "metrics.jsonl", "pace.jsonl"
LAPSE = 300.0  # seconds after which a checkpoint is due, however few the steps were: what a crash may cost


class DivergedError(ValueError):
    """A loss or the gradient is no longer a number."""


def fit(
    run: Run,
    model: nn.Module,
    folder: Path,
    *,
    on_step: Callable[[Step], None] | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> None:
    """Bring `model` from wherever `folder` left it to the end of `run`, and write its model folder.

    Ctrl-C and SIGTERM end it after the step, which is saved. `on_note` hears what the data hold and what could not
    be used of them.
    """
    with heeding() as heard:
        loop = _Loop(run, model, folder, heard)
        if isinstance(loop.data, Summarised):
            on_note(f"{run.name}: {loop.data.summary()}")
        for step in range(loop.position.step, run.steps):
            done = loop.step(step)
            if on_step is not None:
                on_step(done)
            if loop.stopped:
                on_note(f"{run.name}: stopped after step {done.step} of {run.steps}, which is saved")
                raise KeyboardInterrupt
        if skipped := loop.finish():
            on_note(f"{run.name}: {len(skipped)} passed over: {summary(skipped)}")


class _Loop:
    """A run under way: `position` is where it stands after its last step."""

    def __init__(self, run: Run, model: nn.Module, folder: Path, heard: Heard) -> None:
        self.run, self.model, self.folder, self.heard = run, model, folder, heard
        self.stopped, self.saved = False, time.monotonic()
        self.device = next(model.parameters()).device
        self.optimizer = adamw(groups(model, run.stage, weight_decay=run.weight_decay), betas=run.betas)
        self.learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.schedule = Schedule(steps=run.steps, peak=run.lr, floor=run.min_lr, warmup=run.warmup)
        self.weights = torch.tensor(list(run.stage.losses.values()), dtype=torch.float32, device=self.device)
        self.data = run.data()
        self.writes = ranks.rank() == 0
        if not self.writes:  # the others drop other units; the first draws what a single process would
            torch.manual_seed(chance("process", run.seed, ranks.rank()).getrandbits(63))
        check_same(model)
        found = restore(folder / CHECKPOINTS, model, self.optimizer)
        self.position = found or Position()
        if found is not None:
            self.data.load_state_dict(found.data[ranks.rank()])
        if self.writes:
            self.lines = _Lines(folder, keep=self.position.metrics)
        set_mode(model)
        if isinstance(self.data, Watches):
            self.data.watch(model)

    def step(self, step: int) -> Step:
        """Learn from one step's batches; validate and save when it is time."""
        lr = self.schedule.rate(step)
        values, pictures = self._learn(step + 1, lr)
        *losses, total, norm, due, stop = values
        self.position = replace(self.position, step=step + 1, pictures=self.position.pictures + pictures)
        done = Step(
            run=self.run.name,
            steps=self.run.steps,
            step=self.position.step,
            pictures=self.position.pictures,
            lr=lr,
            norm=norm,
            total=total,
            losses=dict(zip(self.run.stage.losses, losses, strict=True)),
            validation=self._validate() if self._due(self.run.validate_every) else {},
        )
        if self.writes:
            self.lines.add(done, pictures)
        if self.position.step < self.run.steps:
            self.stopped = stop > 0
            if self.stopped or due > 0 or self.position.step % self.run.checkpoint_every == 0:
                self._save()
        return done

    def finish(self) -> Sequence[Skipped]:
        """Leave the outcome behind, and a note that says so; what could not be used, by any process."""
        check_same(self.model)
        skipped = self._skipped()
        if not self.writes:
            return skipped
        self.lines.flush()
        plain = self._plain()
        if self.position.best is not None:
            path = self.folder / BEST / WEIGHTS
            copy_into(plain, read_tensors(path), source=path)
        save_model(self.folder / MODEL, plain, self.run.card, self.run.tokenizer, self.run.hints)
        note = {"steps": self.position.step, "pictures": self.position.pictures, "best": self.position.best}
        note |= {"skipped": len(skipped), "reasons": summary(skipped)}
        write_atomic(self.folder / DONE, (json.dumps(note) + "\n").encode())
        return skipped

    def _skipped(self) -> Sequence[Skipped]:
        """Each pair once, whichever process met it."""
        own = self.data.skipped if isinstance(self.data, Summarised) else ()
        return [*dict.fromkeys(each for met in ranks.everyones(own) for each in met)]

    def _wishes(self) -> tuple[bool, bool]:
        """Whether to save, which the first process's clock alone decides, and whether to stop, as anyone may ask."""
        return self.writes and time.monotonic() - self.saved >= LAPSE, self.heard.number > 0

    def _plain(self) -> nn.Module:
        """The model as its config builds it."""
        return self.model if self.run.adapter is None else self.run.adapter.merged(self.model)

    def _learn(self, step: int, lr: float) -> tuple[list[float], int]:
        """One update; losses, their sum, the gradient's norm and everyone's wishes, fetched from the device at once."""
        found, pictures = torch.zeros_like(self.weights), 0
        for _ in range(self.run.accumulate):
            batch: Batch = next(self.data).to(self.device)
            losses = self._losses(batch) / self.run.accumulate
            (losses * self.weights).sum().backward()
            found += losses.detach()
            pictures += len(batch)
        # wishes travel with the losses, so that all processes know of them at the same step
        told = average(self.learns, torch.cat([found, found.new_tensor(self._wishes())]))
        found, wishes = told[:-2], told[-2:]
        norm = clip(self.learns, limit=self.run.clip)
        values = torch.cat([found, (found * self.weights).sum()[None], norm[None], wishes]).tolist()
        for name, value in zip((*self.run.stage.losses, "total", "gradient norm"), values, strict=False):
            if not math.isfinite(value):
                raise DivergedError(
                    f"{name} is {value} at step {step} of run {self.run.name!r}: "
                    "the steps before are saved up to the last checkpoint; try a lower lr or a longer warmup"
                )
        set_rate(self.optimizer, lr)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values, pictures * ranks.world()

    def _losses(self, batch: Batch) -> Tensor:
        """The stage's losses, in its order."""
        half = self.run.precision is torch.bfloat16
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            losses: Losses = self.model(batch)
        wanted = self.run.stage.losses
        if losses.keys() != wanted.keys():
            raise ValueError(
                f"stage {self.run.stage.name!r} weighs the losses {', '.join(sorted(wanted))}, "
                f"but the model returns {', '.join(sorted(losses))}"
            )
        return torch.stack([losses[name].float() for name in wanted])

    def _validate(self) -> Mapping[str, float]:
        """Ask how good the model is, without a trace in what comes after; keep it if it is the best."""
        if self.run.validate is None:
            return {}
        devices = [self.device] if self.device.type == "cuda" else []
        self.model.eval()
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            told = {name: float(value) for name, value in self.run.validate(self.model).items()}
            means = ranks.average(torch.tensor([*told.values()], dtype=torch.float64))
        set_mode(self.model)
        values = dict(zip(told, means.tolist(), strict=True))
        if self.run.best:
            self._keep_best(values)
        return values

    def _keep_best(self, values: Mapping[str, float]) -> None:
        if self.run.best not in values:
            raise unknown("validation metric", self.run.best, values)
        value, best = values[self.run.best], self.position.best
        if math.isfinite(value) and (best is None or value > best):
            if self.writes:
                save_model(self.folder / BEST, self._plain(), self.run.card, self.run.tokenizer, self.run.hints)
            self.position = replace(self.position, best=value)

    def _due(self, every: int) -> bool:
        return self.position.step == self.run.steps or (every > 0 and self.position.step % every == 0)

    def _save(self) -> None:
        check_same(self.model)
        size = self.lines.flush() if self.writes else 0
        self.position = replace(self.position, metrics=size, data=ranks.everyones(dict(self.data.state_dict())))
        save(self.folder / CHECKPOINTS, self.position, self.model, self.optimizer)
        self.saved = time.monotonic()


class _Lines:
    """`metrics.jsonl` and `pace.jsonl`, written when a checkpoint is, so that a step waits for no disk."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.metrics, self.pace = folder / METRICS, folder / PACE
        self.waiting: list[str] = []
        self.step, self.pictures, self.since = 0, 0, time.perf_counter()
        with writing(folder):
            self.metrics.touch()
            if self.metrics.stat().st_size > keep:  # lines of steps that will be done again
                os.truncate(self.metrics, keep)

    def add(self, done: Step, pictures: int) -> None:
        self.waiting.append(
            _line({name: value for name, value in asdict(done).items() if name not in {"run", "steps"}})
        )
        self.step, self.pictures = done.step, self.pictures + pictures

    def flush(self) -> int:
        """Put the lines on the disk; the file's length then."""
        now = time.perf_counter()
        pace = {"step": self.step, "pictures_a_second": self.pictures / (now - self.since)}
        with writing(self.metrics):
            _append(self.pace, _line(pace))
            size = _append(self.metrics, "".join(self.waiting))
        self.waiting.clear()
        self.pictures, self.since = 0, now
        return size


def _append(path: Path, text: str) -> int:
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values) + "\n"
