"""`torchrun ... -m chiasm train`: the same command again after any process was killed; a sentence is said once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = Path(__file__).with_name("few.py")
ANEW = {"pace.jsonl"}  # has a clock in it

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")]


def torchrun(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Two processes; the command's own folder holds what they say."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    asked = ["-m", "chiasm", "train", RECIPE, "--device", "cpu", "--out", folder, *words]
    calm = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*launch, *map(str, asked)], stderr=subprocess.PIPE, text=True, env=calm)


def said(launched: subprocess.Popen[str]) -> str:
    """Everything it said until it ended."""
    try:
        return launched.communicate(timeout=120)[1]
    except subprocess.TimeoutExpired:
        launched.kill()
        raise


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ANEW)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def workers(launcher: subprocess.Popen[str]) -> list[int]:
    """The processes that torchrun started, by rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        settings = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        ranks |= {int(setting[5:]): int(child) for setting in settings if setting.startswith(b"RANK=")}
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = torchrun(folder, "--steps", 60)
    assert said(done).count("first: ") > 5
    assert done.returncode == 0
    return folder


@pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="finds ranks in /proc")
@pytest.mark.parametrize("rank", [0, 1, "the launcher"])
def test_killed_and_started_again(whole: Path, tmp_path: Path, rank: int | str) -> None:
    folder = tmp_path / "run"
    launched = torchrun(folder, "--steps", 60)
    while not list(folder.glob("1-first/checkpoints/*")):
        assert launched.poll() is None, said(launched)
        time.sleep(0.05)
    pids = workers(launched)
    os.kill(pids[rank] if isinstance(rank, int) else launched.pid, signal.SIGKILL)
    said(launched)
    assert launched.returncode != 0
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a process lives on without the one that started it")
    assert not (folder / "1-first" / "done.json").exists()
    again = torchrun(folder, "--steps", 60)
    told = said(again)
    assert again.returncode == 0, told
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize(
    ("option", "value", "sentence"), [("--stps", 3, "unknown option"), ("--steps", 0, "has steps 0")]
)
def test_a_mistake_is_said_once(tmp_path: Path, option: str, value: int, sentence: str) -> None:
    failed = torchrun(tmp_path / "run", option, value)
    told = said(failed)
    assert failed.returncode == 1
    assert told.count("chiasm: ") == told.count(sentence) == 1
