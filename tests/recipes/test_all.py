"""Each recipe runs two steps of each of its runs, from the command, and its models answer."""

from pathlib import Path

import pytest

import chiasm
from chiasm.cli.main import main

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.py"))
SHORT = ["--data", "world:single?count=120", "--steps", "2", "--tune", "2", "--batch", "8"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("then", ["caption", "retrieve"])
def test_two_steps(recipe: Path, then: str, tmp_path: Path) -> None:
    assert main(["train", str(recipe), *SHORT, "--then", then, "--out", str(tmp_path / "run")]) == 0
    model = chiasm.load(tmp_path / "run")
    assert model.preset == f"tiny-{then}"
    assert ("caption" in model.abilities) == (then == "caption")
