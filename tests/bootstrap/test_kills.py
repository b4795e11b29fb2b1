"""Two hundred deaths by SIGKILL at random moments of one run: the bytes of an uninterrupted one."""

import multiprocessing
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capfilt_fakes import load, open_lines, plain_rows, write_source

from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.run import Summary, run, summary
from chiasm.bootstrap.select import select
from chiasm.bootstrap.settings import Settings

SETTINGS = Settings(captioner="model", filter="model", batch=2, captions=2)
KILLS, SHARDS = 200, 400


def planned(folder: Path, source: Path) -> Path:
    plan(source, folder, shard_size=3, opened=open_lines)
    return folder


def go(folder: Path, workers: int) -> Summary:
    return run(folder, SETTINGS, load=load, opened=open_lines, workers=workers, attempts=KILLS)


def files(folder: Path) -> dict[str, bytes]:
    """All that counts: who dies while noting a failure leaves a `.part`, which no later success writes again."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".part"}


def begun(folder: Path, workers: int) -> int:
    """The run in a process of its own; a worker comes up in no time, so that deaths find it at work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            go(folder, workers)
        finally:
            os._exit(0)
    return child


def family(process: int) -> list[int]:
    """A process and its children."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return [process]
    return [process, *map(int, children.split())]


def ended(process: int) -> bool:
    return os.waitpid(process, os.WNOHANG)[0] == process


def tormented(folder: Path, workers: int, life: float) -> None:
    """A run that dies, as a whole or by a worker, at moments drawn from a seed, and is started again each time."""
    rng, kills, process = np.random.default_rng(workers), 0, begun(folder, workers)
    while kills < KILLS:
        time.sleep(rng.uniform(0, 2 * life))
        if ended(process):  # a worker died before it was ready, which ends a run
            assert not summary(folder).complete, f"done after {kills} kills"
            process = begun(folder, workers)
            continue
        victim = int(rng.choice(family(process)))
        os.kill(victim, signal.SIGKILL)
        kills += 1
        if victim == process:
            os.waitpid(process, 0)
            process = begun(folder, workers)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_two_hundred_random_kills(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: fork)
    source = write_source(tmp_path / "source", plain_rows(3 * SHARDS))
    whole, folder = planned(tmp_path / "whole", source), planned(tmp_path / "run", source)
    start = time.perf_counter()
    go(whole, workers)
    tormented(folder, workers, life=(time.perf_counter() - start) / KILLS)  # of which a new start takes its share
    assert 0 < summary(folder).done < SHARDS
    assert go(folder, workers).complete
    assert files(folder) == files(whole)
    chosen: dict[str, Any] = {"opened": open_lines}
    assert select(folder, tmp_path / "a", **chosen) == select(whole, tmp_path / "b", **chosen)
    assert files(tmp_path / "a") == files(tmp_path / "b")
