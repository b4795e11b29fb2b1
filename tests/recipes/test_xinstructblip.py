"""X-InstructBLIP's recipe: two steps of every stage, and a model that is told of four senses."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import chiasm
from chiasm.cli.main import main
from chiasm.core.errors import MediaError
from chiasm.data.sources import open_source

RECIPE = Path(__file__).parents[2] / "recipes" / "xinstructblip.py"
STEPS = [word for stage in ("see", "align", "words", "perceive", "speak") for word in (f"--{stage}", "2")]


def test_every_stage_and_a_chat_about_what_all_senses_perceive(tmp_path: Path) -> None:
    options = ["--world", "single?count=12", "--batch", "2", *STEPS, "--out", str(tmp_path)]
    assert main(["train", str(RECIPE), *options]) == 0
    assert [place.name.partition("-")[2] for place in sorted(tmp_path.iterdir()) if place.is_dir()] == [
        "words", "pretrain", "align", "image", "video", "perceive-audio", "audio", "perceive-points", "points",
    ]  # fmt: skip
    model = chiasm.load(tmp_path, device="cpu")
    things = [open_source(f"{kind}:single?count=1")[0].image for kind in ("world", "video", "sound", "points")]
    parts = [{"type": kind, kind: thing} for kind, thing in zip(model.module.cues, things, strict=True)]
    longer = {"type": "audio", "audio": chiasm.Sound(np.zeros(40_000, np.float32), 16_000)}
    asked = {"role": "user", "content": [*parts, longer, {"type": "text", "text": "which is larger?"}]}
    assert isinstance(model.chat([asked], max_new_tokens=2).text, str)
    with pytest.raises(MediaError, match=r"sound 0 \(bytes\)"):
        model.chat([{"role": "user", "content": [{"type": "audio", "audio": b"noise"}]}])


def _recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", RECIPE)
    sys.modules["recipe"] = recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


@pytest.mark.parametrize("cues", [True, False])
def test_what_is_read_has_cues_whatever_is_shown(*, cues: bool) -> None:
    recipe = _recipe()
    (words, *_, last) = recipe.runs(recipe.Options(world="single?count=40", cues=cues))
    assert [bool(sense.cue) for sense in last.model.senses] == [cues] * 4
    read = [pair.text for pair in (words.data().source[row] for row in range(40))]
    assert all(text.startswith("user ") and " assistant " in text for text in read)
    assert {
        sum(text.partition(" assistant")[0].split().count(cue) for cue in ("image", "video", "audio", "3d"))
        for text in read[1::2]
    } == {2}
    assert {
        sum(text.partition(" assistant")[0].split().count(cue) for cue in ("image", "video", "audio", "3d"))
        for text in read[::2]
    } == {1}
