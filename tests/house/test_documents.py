"""What the documents say is there, and runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import chiasm
from chiasm.cli.commands import COMMANDS
from chiasm.weights.folder import save_model

ROOT = Path(__file__).parents[2]
README, TREE = (ROOT / "README.md").read_text(), (ROOT / "docs/tree.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def blocks(language: str, document: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", document, flags=re.MULTILINE | re.DOTALL)
    return [text for kind, text in fenced if kind == language]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    broken = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert broken == []


def test_the_tree_names_every_file() -> None:
    """In the tree a line `folder/` is followed by lines of names and, two blanks later, a comment."""
    (tree,) = (block for block in blocks("", TREE) if block.startswith("src/chiasm/\n"))
    named, folder = set[str](), ""
    for line in tree.splitlines()[1:]:
        if heading := re.match(r"  ([\w/]+/)  ", line):
            folder = heading[1]
        else:
            named |= {f"{folder}{name}.py" for name in re.split(r"\s{2,}", line.strip())[0].split()}
    package = ROOT / "src/chiasm"
    there = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert named == {path for path in there if not path.endswith("__init__.py") and path != "__main__.py"}


def test_the_readme_has_the_folders_of_the_tree() -> None:
    (short,) = (block for block in blocks("", README) if block.startswith("src/chiasm/\n"))
    assert short.splitlines() == [line for line in TREE.splitlines() if re.match(r"src/|  [\w/]+/  ", line)]


def test_commands_that_documents_name_exist() -> None:
    command = re.compile(r"^(?:.*&& )?chiasm ([a-z]+)", re.MULTILINE)
    said = {word for path in DOCUMENTS for word in command.findall(path.read_text())}
    assert "demo" in said
    assert said <= {name.partition(" ")[0] for name in COMMANDS}


def test_the_ten_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (folder,) = re.findall(r'chiasm\.load\("(.*?)"\)', README)
    model = chiasm.create("blip/tiny")
    save_model(tmp_path / folder, model.module, model.card, model.tokenizer)
    (tmp_path / "demo" / "pictures").mkdir()
    for name in ("a-red-circle.png", "a-blue-square.png"):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "demo" / "pictures" / name)
    (quickstart,) = blocks("python", README)
    exec(compile(quickstart.replace("print(", "repr("), "README.md", "exec"), {})  # noqa: S102 - our own lines
