"""From a BLIP-2 and its first stage to a model that is told what to look for, from the command."""

import json
from pathlib import Path

import pytest
from PIL import Image

import chiasm
from chiasm.archetypes.spliced import SplicedLM
from chiasm.cli.main import main
from chiasm.data.sources import open_source
from chiasm.weights.folder import save_model

RECIPE = str(Path(__file__).parents[2] / "recipes/instructblip.py")
DATA = "mix:3*questions:single?count=60 + 1*world:single?count=60"
SHORT = ["--data", DATA, "--steps", "2", "--batch", "8"]


def _saved(name: str, folder: Path, *, seed: int = 0) -> Path:
    model = chiasm.create(name, seed=seed, device="cpu")
    save_model(folder, model.module, model.card, model.tokenizer)
    return folder


def _launched(start: Path, out: Path, *more: str) -> int:
    return main(["train", RECIPE, "--start", str(start), "--out", str(out), *SHORT, *more])


def test_it_goes_on_where_blip2_stopped_and_then_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speaks, first = _saved("blip2/tiny", tmp_path / "speaks"), _saved("blip2/tiny-aligner", tmp_path / "first", seed=1)
    assert _launched(speaks, tmp_path / "run", "--first", str(first), "--steps", "1", "--lr", "0.0") == 0
    told, start, aligner = (chiasm.load(place, device="cpu") for place in (tmp_path / "run", speaks, first))
    assert isinstance(told.module, SplicedLM)
    assert told.module.hinted
    ours, theirs, words = (model.module.state_dict() for model in (told, start, aligner))
    text = "senses.image.connector.qformer.text."
    assert all(ours[name].equal(tensor) for name, tensor in theirs.items())
    brought = {name for name in ours if name.startswith(text)}
    assert ours.keys() - theirs.keys() == brought
    assert all(ours[name].equal(words[name.replace(text, "retriever.qformer.text.")]) for name in brought)

    Image.fromarray(open_source("world:single?count=1")[0].image).save(picture := tmp_path / "a.png")
    capsys.readouterr()
    assert main(["answer", str(tmp_path / "run"), str(picture), "what colour is it?", "--json"]) == 0
    assert "answer" in json.loads(capsys.readouterr().out)
    # what it became may learn more, with the words that it has
    assert _launched(tmp_path / "run", tmp_path / "more") == 0


@pytest.mark.parametrize(
    ("start", "first", "why"),
    [
        ("blip2/tiny", None, "no run `align` lies there: say with --first"),
        ("blip2/tiny", "clip/tiny", "is clip/tiny, but --first takes BLIP-2's first stage"),
        ("blip/tiny", None, "is blip/tiny, but --start takes a BLIP-2 that speaks of pictures"),
    ],
)
def test_what_cannot_be_gone_on_with(
    start: str, first: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [] if first is None else ["--first", str(_saved(first, tmp_path / "first"))]
    assert _launched(_saved(start, tmp_path / "start"), tmp_path / "run", *more) == 1
    assert why in capsys.readouterr().err
