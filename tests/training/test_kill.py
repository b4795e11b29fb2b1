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
def test_killed_between_any_two_touches_of_the_disk(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] > 10
    assert told["tries"] > 3
    whole = contents(tmp_path / "whole")
    assert {"1-fit/model/model.safetensors", "2-again/metrics.jsonl", "1-fit/best/config.json"} <= whole.keys()
    for folder in sorted(tmp_path.iterdir()):
        assert contents(folder) == whole, folder.name
