"""The house style as numbers: each rule runs over all of `src/chiasm`, and over code made to break it."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class File:
    """A module, by its path below the package."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def lines(self) -> int:
        return len(self.source.splitlines())

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    @property
    def functions(self) -> Iterator[Function]:
        return self.nodes(ast.FunctionDef, ast.AsyncFunctionDef)

    @property
    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """The last name of what is called, and the call."""
        for call in self.nodes(ast.Call):
            match call.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name, call


SOURCES = [
    File(path.relative_to(ROOT / "src/chiasm").as_posix(), path.read_text())
    for path in sorted((ROOT / "src/chiasm").rglob("*.py"))
]


def length(function: Function) -> int:
    """Lines from `def` to the end; a docstring costs nothing."""
    lines = function.end_lineno - function.lineno + 1
    match function.body[0]:
        case ast.Expr(value=ast.Constant(value=str())) as docstring:
            return lines - (docstring.end_lineno - docstring.lineno + 1)
    return lines


def long_files(file: File) -> Iterator[str]:
    limit = 150 if file.path.startswith("systems/") else 400
    if file.lines > limit:
        yield f"{file.lines} lines, at most {limit}"


def long_functions(file: File) -> Iterator[str]:
    for function in file.functions:
        limit = 30 if function.name == "forward" else 40
        if length(function) > limit:
            yield f"{function.name} has {length(function)} lines, at most {limit}"


def many_arguments(file: File) -> Iterator[str]:
    if file.path.startswith("predictor/"):  # the names of its verbs are fixed by others
        return
    for function in file.functions:
        all_of = function.args
        named = [*all_of.posonlyargs, *all_of.args, *all_of.kwonlyargs, all_of.vararg, all_of.kwarg]
        count = sum(argument is not None and argument.arg not in {"self", "cls"} for argument in named)
        if count > 8:
            yield f"{function.name} takes {count} arguments, at most 8"


def prints(file: File) -> Iterator[str]:
    if not file.path.startswith("cli/"):
        yield from (f"line {call.lineno} prints" for name, call in file.calls if name == "print")


def literal_attributes(file: File) -> Iterator[str]:
    for name, call in file.calls:
        if name in {"getattr", "hasattr", "setattr"} and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
            yield f"line {call.lineno}: {name} of a literal; declare a Protocol"


def lax_loads(file: File) -> Iterator[str]:
    for name, call in file.calls:
        for word in call.keywords:
            if name == "load_state_dict" and word.arg == "strict" and not getattr(word.value, "value", True):
                yield f"line {call.lineno} loads without strict"


def stringly_annotations(file: File) -> Iterator[str]:
    if any(node.module == "__future__" for node in file.nodes(ast.ImportFrom)):
        yield "imports from __future__: the shape hook would check nothing"


def no_docstring(file: File) -> Iterator[str]:
    if ast.get_docstring(file.tree) is None:
        yield "has no docstring"


def ignores(file: File) -> list[str]:
    """Comments that switch a checker off."""
    tokens = tokenize.generate_tokens(io.StringIO(file.source).readline)
    comments = (token.string for token in tokens if token.type == tokenize.COMMENT)
    return [comment for comment in comments if re.search(r"(type|pyright): *ignore|noqa", comment)]


def bare_ignores(file: File) -> Iterator[str]:
    rule_and_reason = re.compile(
        r"# *((type|pyright): *ignore\[[\w, -]+\]|noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*)[\s#:-]+\w\S* \S"
    )
    for comment in ignores(file):
        if not rule_and_reason.search(comment):
            yield f"{comment!r} names no rule, or no reason"


RULES: dict[Callable[[File], Iterator[str]], str] = {  # a rule, and what it must notice
    long_files: "x = 1\n" * 401,
    long_functions: "def forward(self):\n" + "    x = 1\n" * 30,
    many_arguments: "def f(self, a, b, c, d, *e, f, g, h, i): ...",
    prints: "print(1)",
    literal_attributes: "hasattr(model, 'embed')",
    lax_loads: "model.load_state_dict(state, strict=False)",
    stringly_annotations: "from __future__ import annotations",
    no_docstring: "x = 1",
    bare_ignores: "x = 1  # type: ignore[assignment]\n",
}


@pytest.mark.parametrize("rule", [long_files, many_arguments])
def test_recipes_and_benches_keep_the_budgets(rule: Callable[[File], Iterator[str]]) -> None:
    paths = sorted(path for folder in ("recipes", "bench") for path in (ROOT / folder).rglob("*.py"))
    files = [File(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]
    assert files
    assert [f"{file.path}: {offence}" for file in files for offence in rule(file)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_sources_keep_the_rule(rule: Callable[[File], Iterator[str]]) -> None:
    assert [f"{file.path}: {offence}" for file in SOURCES for offence in rule(file)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_notices(rule: Callable[[File], Iterator[str]]) -> None:
    assert list(rule(File("nn/bad.py", RULES[rule])))


def test_what_the_rules_let_pass() -> None:
    good = File(
        "cli/good.py",
        '"""A sentence."""\n'
        "def f(a, b, c, d, *, e, f, g, h):\n"
        '    """' + "\n" * 50 + '"""\n'
        "    print(getattr(a, b))\n"
        "    a.load_state_dict(b, strict=True)  # type: ignore[union-attr]  # torch has no type for it\n"
        "    return c  # noqa: RET504 named for the reader\n",
    )
    assert [offence for rule in RULES for offence in rule(good)] == []


def test_checkers_are_rarely_switched_off() -> None:
    found = [f"{file.path}: {comment}" for file in SOURCES for comment in ignores(file)]
    assert len(found) <= 1 + sum(file.lines for file in SOURCES) // 1000, found


def test_there_is_a_line_of_test_for_two_of_source() -> None:
    tests = sum(len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    assert tests >= sum(file.lines for file in SOURCES) / 2


def dotted(node: ast.expr) -> str:
    """`a.b.C` of an expression, without what stands in brackets."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
        case ast.Subscript(value=value):
            return dotted(value)
    return ""


def parents(file: File) -> Iterator[tuple[str, set[str]]]:
    """Every class of a module and what it inherits from, by full names."""
    module = "chiasm." + file.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    names = {node.name: f"{module}.{node.name}" for node in file.tree.body if isinstance(node, ast.ClassDef)}
    for node in file.nodes(ast.ImportFrom):
        names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in file.nodes(ast.ClassDef):
        bases = {dotted(base).partition(".") for base in node.bases}
        yield f"{module}.{node.name}", {names.get(head, head) + dot + rest for head, dot, rest in bases}


def subclassed(files: list[File]) -> list[str]:
    """Classes of ours that are neither abstract nor final; errors may have kinds."""
    classes = {name: bases for file in files for name, bases in parents(file)}
    abstract = {name for name, bases in classes.items() if bases & {"typing.Protocol", "abc.ABC"}}
    errors = {name for name in classes if name.endswith("Error")}
    return [
        f"{name} extends {base}, which is concrete"
        for name, bases in classes.items()
        for base in bases & classes.keys() - abstract - errors
    ]


def test_classes_are_abstract_or_final() -> None:
    assert subclassed(SOURCES) == []


def test_a_concrete_parent_is_noticed() -> None:
    parent = File("nn/parent.py", "from typing import Protocol\nclass Seen(Protocol): ...\nclass Cube(Seen): ...")
    child = File("nn/child.py", "from chiasm.nn import parent\nclass Dice(parent.Cube, parent.Seen): ...")
    assert subclassed([parent, child]) == ["chiasm.nn.child.Dice extends chiasm.nn.parent.Cube, which is concrete"]
