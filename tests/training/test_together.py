"""Several processes are one with the same batches: values, weights, what is kept, and how they fail."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from chiasm.training.average import average, check_same
from chiasm.training.together import own, together
from chiasm.training.train import train
from chiasm.weights.folder import read_tensors
from chiasm.weights.state import state

SCRIPT = Path(__file__).with_name("crowd.py")
ANEW = {"pace.jsonl"}  # has a clock in it
LOST = "a process that trains with this one has ended or does not answer ("

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Crowd:
    """What the script left behind."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def told(self, scene: str) -> list[dict[str, Any]]:
        return json.loads((self.root / f"{scene}.json").read_text())

    def seen(self, scene: str) -> list[Any]:
        return [process["seen"] for process in self.told(scene)]

    def lines(self, scene: str, run: str = "1-fit") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / scene / run / "metrics.jsonl").read_text().splitlines()]

    def weights(self, scene: str, run: str = "1-fit") -> dict[str, torch.Tensor]:
        return read_tensors(self.root / scene / run / "model" / "model.safetensors")

    def contents(self, scene: str) -> dict[str, bytes]:
        folder = self.root / scene
        files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ANEW)
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def left_behind(root: Path, *stride: str) -> tuple[Crowd, str]:
    """What the script left in `root`, and what it printed."""
    calm = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, SCRIPT, root, *stride]
    done = subprocess.run(words, capture_output=True, text=True, env=calm, check=False)
    assert done.returncode == 0, done.stderr
    return Crowd(root), done.stdout


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    return left_behind(tmp_path_factory.mktemp("crowd"))[0]


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_are_one(crowd: Crowd, count: int) -> None:
    one, several = crowd.lines("calm-1"), crowd.lines(f"calm-{count}")
    assert len(one) == len(several) == 12
    for line, other in zip(one, several, strict=True):
        assert {name: other[name] for name in ("step", "pictures", "lr")} == {
            name: line[name] for name in ("step", "pictures", "lr")
        }
        assert other["norm"] == pytest.approx(line["norm"], rel=1e-4)
        assert other["losses"] == pytest.approx(line["losses"], rel=1e-4)
        assert other["validation"] == pytest.approx(line["validation"], rel=1e-4)
    assert [line["step"] for line in several if line["validation"]] == [4, 8, 12]
    apart = crowd.weights(f"calm-{count}")
    for name, value in crowd.weights("calm-1").items():
        torch.testing.assert_close(apart[name], value, rtol=1e-3, atol=1e-5)
    assert crowd.contents("calm-1").keys() == crowd.contents(f"calm-{count}").keys()


@pytest.mark.parametrize("count", [2, 4])
def test_a_mean_over_words_is_one_over_everyones(crowd: Crowd, count: int) -> None:
    (one,), several = crowd.seen("caption-1"), crowd.seen(f"caption-{count}")
    assert all(each == several[0] for each in several)
    assert several[0] == pytest.approx(one, rel=1e-4)
    apart = crowd.weights(f"caption-{count}", "1-caption")
    for name, value in crowd.weights("caption-1", "1-caption").items():
        if not name.endswith("k.bias"):  # adds the same to all of a row's scores: its gradient is rounding alone
            torch.testing.assert_close(apart[name], value, rtol=1e-4, atol=5e-5)


def test_half_precision_in_small_batches(crowd: Crowd) -> None:
    one, two = crowd.lines("half-1"), crowd.lines("half-2")
    assert [line["total"] for line in two] == pytest.approx([line["total"] for line in one], rel=5e-3)


@pytest.mark.parametrize("scene", ["calm-2", "calm-4", "half-2", "drops"])
def test_all_have_the_same_weights_and_buffers_after_every_step(crowd: Crowd, scene: str) -> None:
    first, *others = crowd.seen(scene)
    for other in others:
        assert [step[0] for step in other["steps"]] == [step[0] for step in first["steps"]]
        assert [step[2:] for step in other["steps"]] == [step[2:] for step in first["steps"]]
        assert other["end"] == first["end"]
    assert len({step[0] for step in first["steps"]}) == len(first["steps"])


def test_each_drops_units_of_its_own(crowd: Crowd) -> None:
    first, second = crowd.seen("drops")
    draws = [[step[1] for step in each["steps"] if step[1]] for each in (first, second)]
    assert len(draws[0]) == len(draws[1]) == 2
    assert not {*draws[0]} & {*draws[1]}


@pytest.mark.parametrize("scene", ["killed-0-7", "killed-1-13", "killed-1-5"])
def test_killed_and_started_again(crowd: Crowd, scene: str) -> None:
    rank = int(scene.split("-")[1])
    told = crowd.told(scene)
    assert told[rank] == {"killed": 9}
    assert told[1 - rank]["said"].startswith(LOST)
    assert crowd.contents(scene) == crowd.contents("drops")
    assert [each["end"] for each in crowd.seen(f"{scene}-again")] == [each["end"] for each in crowd.seen("drops")]


def test_all_stop_where_one_was_interrupted(crowd: Crowd) -> None:
    told = sorted(crowd.told("interrupted-1-7"), key=str)
    assert told == [{"said": "stopped"}, {"silent": 1}]
    first, second = crowd.seen("interrupted-1-7-again")
    assert len(first["steps"]) == len(second["steps"]) == 50 - 8
    assert crowd.contents("interrupted-1-7") == crowd.contents("drops")


@pytest.mark.slow
def test_killed_anywhere(tmp_path: Path) -> None:
    crowd, told = left_behind(tmp_path, "13")
    assert min(json.loads(told)) > 8
    whole = crowd.contents("whole")
    assert {"1-fit/model/model.safetensors", "2-again/metrics.jsonl", "1-fit/best/config.json"} <= whole.keys()
    for folder in sorted(tmp_path.glob("killed-*")):
        assert crowd.contents(folder.name) == whole, folder.name


def test_one_fails_and_all_end(crowd: Crowd) -> None:
    assert crowd.told("failed") == [{"silent": 1}, {"said": "the disk of process 1 is on fire"}, {"silent": 1}]


@pytest.mark.parametrize(
    ("scene", "sentence"),
    [
        ("fewer", "was saved by 3 processes, and 2 would not end in the same weights: start 3, or use another folder"),
        ("nan", "near is nan at step 8 of run 'fit'"),
        ("apart", "the processes no longer have the same seen: what a graph draws or remembers in training must be"),
    ],
)
def test_what_all_would_say_is_said_once(crowd: Crowd, scene: str, sentence: str) -> None:
    told = sorted(crowd.told(scene), key=str)
    assert sentence in told[0]["said"]
    assert told[1] == {"silent": 1}


def test_processes_that_were_asked_for_different_things(crowd: Crowd) -> None:
    asked = "process 0 was asked for something else than process 1: lr is 0.1 there and 0.2 here"
    assert crowd.told("options") == [{"silent": 1}, {"said": asked}]


def test_the_command_speaks_once(crowd: Crowd) -> None:
    first, second = crowd.told("trained")
    assert (first["code"], second) == (0, {"code": 0, "out": "", "err": ""})
    assert "first: 3 of 3 loss " in first["err"]
    assert "command is done" in first["out"]
    told = sorted(crowd.told("misspelt"), key=lambda each: each["code"])
    assert told[0] == {"code": 1, "out": "", "err": ""}
    assert (told[1]["code"], told[1]["out"]) == (2, "")
    assert told[1]["err"].startswith("chiasm: unknown option '--stps'; did you mean '--steps'?")
    assert [bool(each["out"]) for each in crowd.told("helped")] == [True, False]


def test_what_nobody_uses_does_not_decay(parts: ModuleType, crowd: Crowd) -> None:
    first, second = crowd.seen("idle")
    assert first == second
    torch.manual_seed(0)
    start = {name: value.flatten().tolist() for name, value in parts.Odd.Config(memory=0).build().named_parameters()}
    still = {name for name, value in start.items() if first[name] == pytest.approx(value)}
    assert still == {"none.weight", "none.bias"}


def test_a_checkpoint_of_several_is_not_for_one(crowd: Crowd, parts: ModuleType) -> None:
    with pytest.raises(ValueError, match="saved by 3 processes, and 1 would not end in the same weights: start 3"):
        train([parts.run()], crowd.root / "failed")


def test_what_several_have_finished_any_number_can_use(crowd: Crowd, parts: ModuleType) -> None:
    model = train(parts.two_runs(), crowd.root / "drops")
    assert all(torch.equal(value, crowd.weights("drops", "2-again")[name]) for name, value in state(model).items())


def test_alone_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    layer = torch.nn.Linear(2, 2)
    values = torch.ones(3)
    with together():
        assert average([layer.weight], values) is values
        check_same(layer)
        assert own(torch.device("cuda")) == torch.device("cuda")
    with pytest.raises(ValueError, match="as it was"), together():
        raise ValueError("as it was")
