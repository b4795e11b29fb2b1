"""The wheel holds the package, and works where there is no source tree."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import chiasm, numpy, pathlib, sys
assert pathlib.Path(chiasm.__file__).is_relative_to(sys.argv[1]), chiasm.__file__
assert "tiny" in chiasm.catalogue()["blip"].presets
picture = numpy.zeros((40, 60, 3), numpy.uint8)
caption = chiasm.create("blip/tiny").caption(picture, max_new_tokens=3)
assert isinstance(caption, chiasm.Caption), caption
"""


def call(*command: str | Path, where: Path, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=where, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves a `build` folder behind, whose old files it would pack again."""
    room = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, room)
    shutil.copytree(ROOT / "src/chiasm", room / "src/chiasm", ignore=shutil.ignore_patterns("__pycache__"))
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", where=room)
    (made,) = (room / "dist").glob("*.whl")
    return made


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    sources = {f"chiasm/{path.relative_to(ROOT / 'src/chiasm')}" for path in (ROOT / "src/chiasm").rglob("*.py")}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {*sources, "chiasm/py.typed"}


def test_it_carries_licence_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        told = {name.partition(".dist-info/")[2]: packed.read(name).decode() for name in packed.namelist()}
    assert "Apache License" in told["licenses/LICENSE"]
    assert "License-Expression: Apache-2.0" in told["METADATA"]
    assert "chiasm = chiasm.cli.main:main" in told["entry_points.txt"]


def test_it_works_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    call(sys.executable, "-c", USE, tmp_path / "site", where=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    call(sys.executable, "-m", "chiasm", "systems", where=tmp_path, PYTHONPATH=str(tmp_path / "site"))
