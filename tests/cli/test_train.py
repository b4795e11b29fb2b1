"""A recipe's options are the command's; the same command again has nothing left to do."""

import subprocess
import sys
from pathlib import Path

import pytest

import chiasm

from .conftest import Call

RECIPE = Path(__file__).with_name("few.py")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "few.py"
    place.write_text(RECIPE.read_text())
    return place


def test_a_recipe_is_trained_once(call: Call, recipe: Path, pictures: Path) -> None:
    said = call("train", recipe, "--steps", 3)
    assert said.code == 0, said.err
    assert "first: 3 of 3 loss " in said.err
    assert "runs/few is done" in said.out
    assert call("caption", "runs/few", pictures / "a.png").code == 0
    assert chiasm.load("runs/few").preset == "tiny"
    weights = Path("runs/few/1-first/model/model.safetensors").stat()
    again = call("train", "--steps", 3, recipe)
    assert (again.code, again.err) == (0, "")
    assert Path("runs/few/1-first/model/model.safetensors").stat() == weights
    other = call("train", recipe, "--steps", 4)
    assert other.code == 1
    assert "steps was 3 and is now 4" in other.err
    assert call("train", recipe, "--steps", 1, "--out", "elsewhere").code == 0
    assert chiasm.load("elsewhere").preset == "tiny"


def test_help_shows_the_recipes_options(call: Call, recipe: Path) -> None:
    said = call("train", recipe, "--help")
    assert said.code == 0
    assert "A few steps on made pictures." in said.out
    assert "--steps INT" in said.out
    assert "--out FOLDER" in said.out


def test_help_comes_before_any_recipe(call: Call) -> None:
    for words in (["--help"], ["-h"]):
        said = call("train", *words)
        assert (said.code, said.err) == (0, "")
        assert "RECIPE.py" in said.out
        assert "--out FOLDER" in said.out
    light = "import sys; from chiasm.cli.main import main; main(['train', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], check=False, capture_output=True).returncode == 0


def test_wrong_recipes(call: Call, recipe: Path) -> None:
    Path("empty.py").write_text("x = 1\n")
    Path("wrong.py").write_text("x =\n")
    for words, code, told in (
        ([recipe, "--stps", 3], 2, "did you mean '--steps'?"),
        ([recipe, "--steps", "few"], 2, "'few'"),
        (["missing.py"], 1, "there is no recipe 'missing.py'"),
        (["empty.py"], 1, "is no recipe: it lacks Options and runs"),
        (["wrong.py"], 1, "SyntaxError"),
        ([recipe, "--device", "cpuu"], 1, "'cpuu' is no device"),
        (["--steps", 3], 2, "no recipe was given"),
    ):
        said = call("train", *words)
        assert (said.code, said.out) == (code, "")
        assert told in said.err
        assert len(said.err.splitlines()) == 1
