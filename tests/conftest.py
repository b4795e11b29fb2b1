"""What tests on every floor share."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"  # no test leaves this machine
signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell ignores it in the background, and so would our children


@pytest.fixture(scope="session")
def on_two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], list[Any]]:
    """Runs `script FOLDER` as two processes that know each other as torchrun would have it; what each saved.

    A rank leaves its result behind by `torch.save(result, FOLDER / str(rank))`.
    """

    def run(script: Path) -> list[Any]:
        folder = tmp_path_factory.mktemp("ranks")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        home = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        ranks = [
            subprocess.Popen(
                [sys.executable, script, folder],
                env=os.environ | home | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        told = [rank.communicate(timeout=300)[1] for rank in ranks]
        assert all(rank.returncode == 0 for rank in ranks), "\n".join(told)
        return [torch.load(folder / str(rank), weights_only=True) for rank in range(2)]

    return run
