"""A model folder, pictures, and the command called in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import chiasm
from chiasm.cli.main import main
from chiasm.weights.folder import save_model


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights."""
    model = chiasm.create("blip/tiny", device="cpu")
    place = tmp_path_factory.mktemp("models") / "tiny"
    save_model(place, model.module, model.card, model.tokenizer)
    return place


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights that answers questions."""
    model = chiasm.create("blip/tiny-vqa", device="cpu")
    place = tmp_path_factory.mktemp("models") / "vqa"
    save_model(place, model.module, model.card, model.tokenizer)
    return place


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures, one of them in a folder inside, one of them broken, and something else."""
    rng = np.random.default_rng(0)
    place = tmp_path / "pictures"
    (place / "inside").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "inside/c.png"):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(place / name)
    (place / "broken.png").write_bytes(b"\x89PNG\r\n")
    (place / "notes.txt").write_text("a red circle")
    return place
