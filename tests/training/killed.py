"""Kills trainings and starts them again: `killed.py FOLDER STRIDE`, in a process of its own that may fork.

A child dies by SIGKILL just before the n-th time (every STRIDE-th n) that it touches a file in its folder: between any
two steps of the protocol, that is. Prints a line of JSON with what was done.
"""

import importlib.util
import json
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any

import torch

from chiasm.training.train import train


def load_parts() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("chiasm.parts_of_tests", Path(__file__).with_name("parts.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["chiasm.parts_of_tests"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def attempt(parts: types.ModuleType, folder: Path, *, touches: int) -> bool:
    """Train in a child that may touch files `touches` times; whether it lived to the end."""
    child = os.fork()
    if child == 0:
        limit_touches(folder, touches)
        train(parts.two_runs(), folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, f"the child failed: {status}"
    return status == 0


def limit_touches(folder: Path, left: int) -> None:
    def die(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event.startswith(("open", "os.", "shutil.")) and any(str(folder) in str(item) for item in arguments):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die)


def main(root: Path, stride: int) -> None:
    torch.set_num_threads(1)
    parts = load_parts()
    everything = 100_000
    train(parts.two_runs(), root / "whole")  # here, so that the children find torch warm
    killed = 0
    for first in range(0, everything, stride):
        folder = root / f"once-{first}"
        if attempt(parts, folder, touches=first):
            break
        assert attempt(parts, folder, touches=everything)
        killed += 1
    tries = 1
    while not attempt(parts, root / "often", touches=60 + 17 * (tries % 3)):
        tries += 1
    sys.stdout.write(json.dumps({"killed": killed, "tries": tries}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
