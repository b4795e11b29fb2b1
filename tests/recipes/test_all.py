"""Each recipe runs two steps of each of its runs, from the command, and its models answer."""

import json
import logging
from pathlib import Path

import pytest
from PIL import Image

import chiasm
from chiasm.cli.main import main
from chiasm.data.sources import open_source
from chiasm.weights.folder import save_model

RECIPES = Path(__file__).parents[2] / "recipes"
SHORT = ["--data", "world:single?count=120", "--steps", "2", "--batch", "8"]
# options of a recipe -> the preset that comes out, and a verb that it has
LAUNCHES = {
    ("blip", "--tune", "2", "--then", "caption"): ("blip/tiny-caption", "caption"),
    ("blip", "--tune", "2", "--then", "retrieve"): ("blip/tiny-retrieve", "rerank"),
    ("clip",): ("clip/tiny", "classify"),
    ("albef", "--tune", "2"): ("albef/tiny-retrieve", "rerank"),
}


@pytest.mark.parametrize("launch", LAUNCHES, ids=" ".join)
def test_two_steps(launch: tuple[str, ...], tmp_path: Path) -> None:
    recipe, *options = launch
    assert main(["train", str(RECIPES / f"{recipe}.py"), *SHORT, *options, "--out", str(tmp_path / "run")]) == 0
    model, (name, verb) = chiasm.load(tmp_path / "run"), LAUNCHES[launch]
    assert f"{model.system}/{model.preset}" == name
    assert verb in model.abilities


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A dozen pictures, and questions about them, of which one lacks its words, and two their answers."""
    made, rows = open_source("questions:single?count=12"), list[dict[str, object]]()
    for row in range(12):
        pair, name = made[row], f"{row}.png"
        Image.fromarray(pair.image).save(tmp_path / name)
        answers = {pair.tags["answers"][0]: 7, "who knows": 3}
        rows.append({"image": name, "question": pair.tags["question"], "answers": answers})
    del rows[2]["question"], rows[5]["answers"]
    rows[7]["answers"] = []
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "q.jsonl"


def _saved(name: str, folder: Path) -> Path:
    model = chiasm.create(name, device="cpu")
    save_model(folder, model.module, model.card, model.tokenizer)
    return folder


def _asked(questions: Path, weights: Path, out: Path, *options: str) -> int:
    words = ["--data", questions, "--weights", weights, "--out", out, "--steps", "2", "--batch", "4", *options]
    return main(["train", str(RECIPES / "vqa.py"), *map(str, words)])


@pytest.mark.parametrize(("system", "validated"), [("blip", {"held out", "exact"}), ("albef", set())])
def test_questions_of_one_s_own(
    system: str,
    validated: set[str],
    questions: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not validated:
        (tmp_path / "0.png").write_bytes(b"no picture")  # of the one that would be kept aside
    weights = _saved(f"{system}/tiny", tmp_path / "pre" / "1-pretrain" / "model")
    weights.with_name("done.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        assert _asked(questions, tmp_path / "pre", tmp_path / "run") == 0
    assert "11 pairs in" in caplog.text
    assert "1 left out: 1 x no question (q.jsonl:3); 2 not asked: 2 x no answers (5.png, 7.png)" in caplog.text
    capsys.readouterr()
    assert main(["answer", str(tmp_path / "run"), str(tmp_path / "3.png"), "what size?", "--candidates", "ox"]) == 0
    assert capsys.readouterr().out == "ox\n"
    assert _asked(questions, tmp_path / "run", tmp_path / "more", "--pixels", "48") == 0
    model = chiasm.load(tmp_path / "more")
    assert (model.system, model.preset, model.processor.pixels.size) == (system, "tiny-vqa", 48)
    lines = (tmp_path / "more/1-vqa/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["validation"].keys() == validated


def test_questions_start_from_what_can_be_asked(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = _saved("blip/tiny-caption", tmp_path / "pre")
    assert _asked(questions, weights, tmp_path / "run") == 1
    assert "answers do not start from blip/tiny-caption: --weights takes what blip or albef" in capsys.readouterr().err
    questions.write_text(json.dumps({"image": "1.png", "question": "what?", "answers": ""}))
    assert _asked(questions, _saved("blip/tiny", tmp_path / "pre"), tmp_path / "run") == 1
    assert "none of 1 pairs can be used: 1 x no answers (1.png)" in capsys.readouterr().err


def test_every_recipe_is_launched() -> None:
    alone = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}  # a test of its own
    recipes = {path.stem for path in RECIPES.glob("*.py")}
    assert {recipe for recipe, *_ in LAUNCHES} | {"vqa"} == recipes - alone
