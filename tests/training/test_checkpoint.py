"""Checkpoints: the last two, whole or not at all; a damaged one makes way for the one before."""

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from chiasm.core.files import OutputError
from chiasm.core.stage import Stage
from chiasm.systems import blip
from chiasm.training.checkpoint import Position, save
from chiasm.training.freeze import groups
from chiasm.training.run import Step
from chiasm.training.train import train
from chiasm.weights.state import state


class StopError(Exception):
    """Stands for a crash."""


def stop_at(last: int) -> Callable[[Step], None]:
    def stop(step: Step) -> None:
        if step.step == last:
            raise StopError

    return stop


def crash(parts: ModuleType, folder: Path, *, step: int) -> list[Path]:
    """A run that dies after `step`; the checkpoints it leaves, newest last."""
    with pytest.raises(StopError):
        train([parts.run()], folder, on_step=stop_at(step))
    return sorted(folder.glob("1-fit/checkpoints/*"))


def same(folder: Path, other: Path) -> bool:
    files = ("model/model.safetensors", "metrics.jsonl", "done.json")
    return all((folder / "1-fit" / name).read_bytes() == (other / "1-fit" / name).read_bytes() for name in files)


@pytest.mark.parametrize("step", [1, 5, 7, 10, 11])
def test_the_same_end_from_any_stop(parts: ModuleType, tmp_path: Path, step: int) -> None:
    train([parts.run()], tmp_path / "whole")
    crash(parts, tmp_path / "cut", step=step)
    train([parts.run()], tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert not (tmp_path / "cut" / "1-fit" / "checkpoints").exists()


def test_only_the_last_two_are_kept(parts: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        train([parts.run(checkpoint_every=2)], tmp_path, on_step=stop_at(9))
    names = sorted(path.name for path in (tmp_path / "1-fit" / "checkpoints").iterdir())
    assert names == ["step-00000006.safetensors", "step-00000008.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "noise"])
@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_checkpoint(
    parts: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, *, both: bool
) -> None:
    train([parts.run()], tmp_path / "whole")
    checkpoints = crash(parts, tmp_path / "cut", step=11)
    hurt = checkpoints if both else checkpoints[-1:]
    for path in hurt:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        spoilt = {"cut": data[: len(data) // 2], "empty": b"", "bit": data, "noise": b"\xff" * 100}[damage]
        path.write_bytes(spoilt)
    with caplog.at_level(logging.WARNING):
        train([parts.run()], tmp_path / "cut")
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == len(hurt)
    assert all(path.name in note and "is damaged" in note for path, note in zip(reversed(hurt), notes, strict=True))
    assert same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_loses_nothing(
    parts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    train([parts.run()], tmp_path / "whole")
    crash(parts, tmp_path / "cut", step=6)

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            OutputError, match=rf"cannot write .*: {os.strerror(code)}; what was finished before is intact"
        ):
            train([parts.run()], tmp_path / "cut")
    steps: list[int] = []
    train([parts.run()], tmp_path / "cut", on_step=lambda step: steps.append(step.step))
    assert steps == list(range(6, 13))
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_frozen_parameters_and_buffers_come_back_too(parts: ModuleType, tmp_path: Path) -> None:
    start = parts.Net.Config().build()
    run = parts.run(stage=parts.AGAIN)
    with pytest.raises(StopError):
        train([run], tmp_path, start=start, on_step=stop_at(7))
    cut = state(train([run], tmp_path, start=start))
    whole = state(train([run], tmp_path / "whole", start=start))
    assert all(torch.equal(cut[name], whole[name]) for name in whole)
    assert cut["count"] == 12


def test_what_is_frozen_stays_out_and_what_follows_goes_in(parts: ModuleType, tmp_path: Path) -> None:
    (path,) = crash(parts, tmp_path, step=7)
    held = {name.removeprefix("model.") for name in load_file(path) if name.startswith("model.")}
    net = parts.Net.Config().build()
    assert held == state(net).keys() - {"tower.0.weight", "tower.0.bias"}
    blips = blip.tiny().build()
    only = Stage(name="only", preset="tiny", train={"retriever.match_head": 1.0}, losses={})
    groups(blips, only, weight_decay=0.0)
    save(tmp_path, Position(step=1), blips, torch.optim.AdamW(blips.retriever.match_head.parameters()))
    held = {name.removeprefix("model.") for name in load_file(tmp_path / "step-00000001.safetensors")}
    assert {name for name in held if ".twin." in name} == {name for name in state(blips) if ".twin." in name}
    assert not any(name.startswith("retriever.towers") for name in held)
