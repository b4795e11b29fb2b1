"""Each recipe runs two steps of each of its runs, from the command, and its models answer."""

from pathlib import Path

import pytest

import chiasm
from chiasm.cli.main import main

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


def test_every_recipe_is_launched() -> None:
    assert {recipe for recipe, *_ in LAUNCHES} == {path.stem for path in RECIPES.glob("*.py")}
