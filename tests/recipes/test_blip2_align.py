"""BLIP-2's first stage over a tower that is trained first, or that is there, and that nothing changes."""

from pathlib import Path

import pytest
import torch

import chiasm
from chiasm.cli.main import main

RECIPE = Path(__file__).parents[2] / "recipes" / "blip2_align.py"
SHORT = ["--data", "world:single?count=120", "--steps", "2", "--batch", "8"]


def _tower(folder: Path, below: str) -> dict[str, torch.Tensor]:
    state = chiasm.load(folder).module.state_dict()
    return {name.removeprefix(below): value for name, value in state.items() if name.startswith(below)}


def test_the_tower_of_a_clip_is_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(RECIPE), *SHORT, "--see", "2", "--out", str(tmp_path / "both")]) == 0
    model = chiasm.load(tmp_path / "both")
    assert (model.system, model.preset) == ("blip2", "tiny-aligner")
    assert {"caption", "rerank"} <= {*model.abilities}
    seen = tmp_path / "both" / "1-see"
    assert main(["train", str(RECIPE), *SHORT, "--vision", str(seen), "--out", str(tmp_path / "one")]) == 0
    clip = _tower(seen, "vision.")
    for folder in ("both", "one"):
        ours = _tower(tmp_path / folder, "retriever.vision.")
        assert ours.keys() == clip.keys()
        assert all(torch.equal(ours[name], value) for name, value in clip.items())
    one, both = (chiasm.load(tmp_path / folder).module.state_dict() for folder in ("one", "both"))
    assert all(torch.equal(one[name], value) for name, value in both.items())
    out = tmp_path / "none"
    assert main(["train", str(RECIPE), *SHORT, "--vision", str(tmp_path / "one"), "--out", str(out)]) == 1
    assert "--vision takes a CLIP, but" in capsys.readouterr().err
