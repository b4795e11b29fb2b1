"""What comes along with Chiasm, and what must not."""

import ast
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
UNWANTED = {"torchvision", "timm", "open-clip-torch"}  # their binaries break a CPU build of torch
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def brought_by(requirements: list[str]) -> dict[str, str]:
    """The whole tree under some requirements, as installed here: name to version."""
    found: dict[tuple[str, frozenset[str]], str] = {}
    todo = [Requirement(line) for line in requirements]
    while todo:
        need = todo.pop()
        key = canonicalize_name(need.name), frozenset(need.extras)
        if key not in found:
            found[key] = version(need.name)
            below = map(Requirement, distribution(need.name).requires or [])
            todo += [next_ for next_ in below if wanted(next_, need.extras)]
    return {name: number for (name, _), number in found.items()}


def wanted(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras})


def imported() -> Iterator[tuple[str, str]]:
    """Where the sources import a module of somebody else's, at any depth of the code."""
    for path in sorted((ROOT / "src/chiasm").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=aliases):
                    yield from ((path.name, alias.name.partition(".")[0]) for alias in aliases)
                case ast.ImportFrom(module=str(module), level=0):
                    yield path.name, module.partition(".")[0]


def test_the_tree_holds_nothing_that_breaks_torch() -> None:
    tree = brought_by(PROJECT["dependencies"] + EXTRAS["dev"])
    assert tree.keys() & UNWANTED == set()
    assert PINS.keys() & UNWANTED == set()
    assert {"torch", "numpy", "sympy"} <= tree.keys(), "the walk does not reach what torch brings"


def test_the_core_is_small() -> None:
    assert len(PROJECT["dependencies"]) < 15


def test_everything_imported_is_declared() -> None:
    declared = names([*PROJECT["dependencies"], *(line for name in EXTRAS if name != "dev" for line in EXTRAS[name])])
    owners = packages_distributions()
    foreign = {(where, name) for where, name in imported() if name not in sys.stdlib_module_names | {"chiasm"}}
    undeclared = {pair for pair in foreign if not {canonicalize_name(x) for x in owners.get(pair[1], [])} & declared}
    assert undeclared == set()


def test_extras_that_messages_name_exist() -> None:
    texts = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / ".ci/run"]
    mentioned = {
        extra
        for path in texts
        for group in re.findall(r"(?:chiasm|'\.|\"\.)\[([a-z, ]+)\]", path.read_text())
        for extra in group.split(",")
    }
    assert mentioned <= EXTRAS.keys()
    assert "dev" in mentioned, "the search finds nothing"


def test_every_direct_requirement_is_pinned_within_its_range() -> None:
    for line in [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]:
        need = Requirement(line)
        assert need.specifier.contains(PINS[canonicalize_name(need.name)]), line


@pytest.mark.skipif(
    (sys.version_info[:2], platform.system()) != ((3, 11), "Linux") or not version("torch").endswith("+cpu"),
    reason="constraints.txt lists the whole tree of Python 3.11 and a CPU build of torch on Linux only",
)
def test_the_whole_tree_is_pinned() -> None:
    every_extra = [line for extra in EXTRAS.values() for line in extra]
    assert brought_by(PROJECT["dependencies"] + every_extra).keys() == PINS.keys()
