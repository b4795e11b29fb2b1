"""A signal ends a run after its step, which is saved; so does the clock save, whoever's clock it is."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from chiasm.training import interrupt, loop
from chiasm.training.interrupt import heeding
from chiasm.training.run import Step
from chiasm.training.train import train

ENDINGS = ("model/model.safetensors", "metrics.jsonl", "done.json")


class TerminatedError(Exception):
    """Stands for the end that SIGTERM is."""


def asking(number: int, *, after: int) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        if step.step == after:
            signal.raise_signal(number)

    return on_step


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "1-fit" / "checkpoints").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_goes_on_where_it_stopped(parts: ModuleType, tmp_path: Path, number: int) -> None:
    def end(_number: int, _frame: object) -> None:
        raise TerminatedError

    ends = KeyboardInterrupt if number == signal.SIGINT else TerminatedError
    before = signal.signal(signal.SIGTERM, end)
    notes: list[str] = []
    run = parts.run(checkpoint_every=500)
    try:
        with pytest.raises(ends):
            train([run], tmp_path / "cut", on_step=asking(number, after=7), on_note=notes.append)
        assert signal.getsignal(signal.SIGTERM) is end
    finally:
        signal.signal(signal.SIGTERM, before)
    assert notes[-1] == "fit: stopped after step 8 of 12, which is saved"
    assert saved(tmp_path / "cut") == ["step-00000008.safetensors"]
    steps: list[int] = []
    train([run], tmp_path / "cut", on_step=lambda step: steps.append(step.step))
    train([run], tmp_path / "whole")
    assert steps == [9, 10, 11, 12]
    for name in ENDINGS:
        assert (tmp_path / "cut/1-fit" / name).read_bytes() == (tmp_path / "whole/1-fit" / name).read_bytes()


def test_a_signal_after_the_last_step_waits_for_the_outcome(parts: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train([parts.run()], tmp_path, on_step=asking(signal.SIGINT, after=12))
    assert (tmp_path / "1-fit" / "done.json").is_file()


def test_slow_steps_are_saved_by_the_clock(parts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LAPSE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train([parts.run(checkpoint_every=500)], tmp_path / "often", on_step=asking(signal.SIGINT, after=3))
    assert saved(tmp_path / "often") == ["step-00000003.safetensors", "step-00000004.safetensors"]


def test_ctrl_c_twice_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []

    def ask(*waits: float) -> None:
        with heeding() as heard:
            for wait in waits:
                monkeypatch.setattr(interrupt, "TWICE", wait)
                signal.raise_signal(signal.SIGINT)
                passed.append(heard.number)

    with pytest.raises(KeyboardInterrupt):
        ask(60.0, 60.0)  # as torchrun repeats it
    assert passed == [signal.SIGINT] * 2
    with pytest.raises(KeyboardInterrupt):
        ask(60.0, 0.0)
    assert passed == [signal.SIGINT] * 3


def test_what_is_ignored_stays_so_and_other_threads_hear_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeding() as heard:
            signal.raise_signal(signal.SIGINT)
        assert heard.number == 0
    finally:
        signal.signal(signal.SIGINT, before)
    failed: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with heeding():
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not failed
