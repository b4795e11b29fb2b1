"""Worker processes: what they make does not depend on how many they are, or on who of them dies."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from capfilt_fakes import Model, open_lines, plain_rows, write_source
from capfilt_fakes import load as load_fake

from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.run import Summary, run
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.store import Store
from chiasm.core.files import OutputError

SETTINGS = Settings(captioner="model", filter="model", batch=3)
SLOW = Settings(captioner="slow", filter="model", batch=1)
COMMAND = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from capfilt_fakes import load, open_lines
from chiasm.bootstrap.run import run
from chiasm.bootstrap.settings import Settings
if __name__ == "__main__":
    run(Path(sys.argv[1]), {SLOW!r}, load=load, opened=open_lines, workers=int(sys.argv[2]))
"""


def planned(folder: Path, rows: list[dict[str, Any]], shard_size: int = 4) -> Path:
    source = write_source(folder / "source", rows)
    plan(source, folder / "run", shard_size=shard_size, opened=open_lines)
    return folder / "run"


def go(folder: Path, settings: Settings = SETTINGS, **options: Any) -> Summary:
    return run(folder, settings, **{"load": load_fake, "opened": open_lines} | options)


def hurried(_: str) -> Model:
    """Says what the slow one says."""
    return Model()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def wait_for(what: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while not what.exists():
        assert process.poll() is None, f"it ended before {what} came"
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.01)


def test_two_workers_write_what_one_writes_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    """The filter kills its worker at row 5, but only once."""
    rows = plain_rows(14)
    rows[5]["text"] = "die once"
    settings = replace(SETTINGS, filter=f"once:{tmp_path / 'marker'}")
    folder = planned(tmp_path, rows)
    assert go(folder, settings, workers=2, attempts=2).complete
    assert (tmp_path / "marker").exists()
    plan(tmp_path / "source", tmp_path / "one", shard_size=4, opened=open_lines)
    go(tmp_path / "one", settings)
    assert files(tmp_path / "one") == files(folder)


@pytest.mark.slow
def test_a_shard_that_always_kills_is_left(tmp_path: Path) -> None:
    rows = plain_rows(14)
    rows[9]["text"] = "die always"
    folder = planned(tmp_path, rows)
    ended = go(folder, workers=2, attempts=2)
    assert (ended.done, ended.quarantined) == (3, (2,))
    store = Store(folder)
    assert store.attempts(store.manifest.shards[2]) == ["the worker process died (exit code -9)"] * 2


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_by_the_system_and_started_again(tmp_path: Path, workers: int) -> None:
    folder = planned(tmp_path, plain_rows(20))
    started = subprocess.Popen([sys.executable, "-c", COMMAND, str(folder), str(workers)])
    wait_for(folder / "000001.done", started)
    started.send_signal(signal.SIGKILL)
    started.wait()
    time.sleep(0.3)  # for the orphans to notice
    left = files(folder)
    time.sleep(1.5)  # longer than a slow shard takes
    assert files(folder) == left
    assert not (folder / "000004.done").exists()
    assert go(folder, SLOW, load=hurried).complete
    plan(tmp_path / "source", tmp_path / "whole", shard_size=4, opened=open_lines)
    go(tmp_path / "whole", SLOW, load=hurried)
    assert files(folder) == files(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("captioner", "error", "told"),
    [
        ("absent", ValueError, "a worker could not start: there is no such model"),
        ("lethal", ChildProcessError, r"died \(exit code 7\) before it was ready"),
    ],
)
def test_a_model_that_cannot_be_loaded_stops_the_run(
    tmp_path: Path, captioner: str, error: type[Exception], told: str
) -> None:
    folder = planned(tmp_path, plain_rows(4))
    with pytest.raises(error, match=told):
        go(folder, replace(SETTINGS, captioner=captioner), workers=2)
    assert not list(folder.glob("*.attempts"))


def test_a_worker_that_cannot_write_stops_the_run(tmp_path: Path) -> None:
    folder = planned(tmp_path, plain_rows(4))
    (folder / "000000.parquet").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*000000\.parquet: Is a directory"):
        go(folder, workers=2)
    assert not list(folder.glob("*.attempts"))
