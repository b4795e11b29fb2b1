"""Options from words by tyro, with its boxed complaints turned into one sentence."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TypeVar

import tyro

from chiasm.cli.errors import UsageError
from chiasm.core.errors import unknown

Options = TypeVar("Options")

COLOUR = re.compile(r"\x1b\[[\d;]*m")
BORDER = re.compile(r"^[╭╰].*|^│ ?| *│$", re.MULTILINE)
RULE = re.compile(r"^ *(?:─+|-{3,}) *$", re.MULTILINE)
HELP = re.compile(r"^ {8,}.*\n?", re.MULTILINE)  # of an argument that a complaint names

PLAINLY = (
    (r"Error parsing [A-Z]\w*: ", ""),
    (r"Error parsing (\S+): (.*base 10:|no type matching \{None\}\|INT could be instantiated from) \[?('[^']*').*",
     r"\1 takes a whole number, and \3 is none"),
    (r"Error parsing (\S+): could not convert string to float: ('[^']*')", r"\1 takes a number, and \2 is none"),
)  # fmt: skip


def parse(kind: type[Options], words: Sequence[str], *, prog: str) -> Options:
    """The options that the words give; `--help` prints and exits."""
    complaint = io.StringIO()
    asks = ["--help"] if {"--help", "-h"} & {*words} else [*words]  # whole, wherever it was asked for
    try:
        with redirect_stderr(complaint):
            options, left = tyro.cli(kind, args=asks, prog=prog, return_unknown_args=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        _check_names(kind, words)
        raise UsageError(f"{sentence(complaint.getvalue())}; {prog} --help tells more") from None
    except ValueError as error:  # an option's own
        raise UsageError(f"{error}; {prog} --help tells more") from error
    if left:
        _check_names(kind, words)
        raise UsageError(f"{prog} has no use for {' '.join(left)!r}; {prog} --help tells more")
    return options


def _check_names(kind: Any, words: Sequence[str]) -> None:
    """Raise if a word is an option that there is not, and name the nearest."""
    help_text = io.StringIO()
    try:
        with redirect_stdout(help_text):
            tyro.cli(kind, args=["--help"], prog="")
    except SystemExit:
        known = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", help_text.getvalue()))
    else:
        return
    for word in words:
        name = word.partition("=")[0].replace("_", "-")
        if name.startswith("--") and name not in known:
            raise UsageError(unknown("option", name, known))


def sentence(box: str) -> str:
    """The first part of a box, without its border and without what `--help` would say too."""
    plain = COLOUR.sub("", box)
    parts = RULE.split(BORDER.sub("", plain).strip())
    text = parts["╭" not in plain and len(parts) > 1]  # a terminal without such signs has the title as a part
    told = " ".join(HELP.sub("", text).split()).rstrip(".")
    for pattern, words in PLAINLY:
        told = re.sub(pattern, words, told)
    return told
