"""Killed anywhere and started again, a training ends in the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed.py")
ANEW = {"pace.jsonl"}  # has a clock in it


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ANEW)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("stride", [37, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_between_two_touches_of_the_disk(tmp_path: Path, stride: int) -> None:
    alone = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}  # autograd's device threads cannot fork
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, str(stride)], capture_output=True, text=True, env=alone, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] > 200 // stride
    assert told["tries"] > 3
    whole = contents(tmp_path / "whole")
    assert {"1-fit/model/model.safetensors", "2-again/metrics.jsonl", "1-fit/best/config.json"} <= whole.keys()
    for folder in sorted(tmp_path.iterdir()):
        assert contents(folder) == whole, folder.name
