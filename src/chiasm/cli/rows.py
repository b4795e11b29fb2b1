"""Answers on paper: plain text for one picture, CSV or JSON lines for many."""

import csv
import json
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from chiasm.cli.errors import UsageError
from chiasm.cli.options import Output
from chiasm.core.files import new_text

Row = Mapping[str, Any]
Write = Callable[[Row], None]
Plain = Callable[[Row], str]


@runtime_checkable
class Paper(Protocol):
    """Anything that text can be written to."""

    @property
    def encoding(self) -> str | None: ...

    def write(self, text: str, /) -> object: ...


@contextmanager
def rows(output: Output, plain: Plain | None) -> Generator[Write]:
    """A function that writes a row: as `plain` says, where there is such a way and no other was asked for."""
    if output.out is None:
        if plain is not None and not output.json:
            yield lambda row: print(plain(row))
        else:
            yield (_json if output.json else _csv)(sys.stdout)
        return
    forms = {".csv": _csv, ".jsonl": _json}
    if output.out.suffix not in forms:
        raise UsageError(f"--out takes a .csv or a .jsonl file, but {output.out} is neither")
    with new_text(output.out) as file:
        yield forms[output.out.suffix](file)


def _json(paper: Paper) -> Write:
    return lambda row: print(_object(row, paper.encoding or "utf-8"), file=paper)


def _object(row: Row, encoding: str) -> str:
    """JSON, with escapes where the paper could not show it."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(row)
    return text


def _csv(paper: Paper) -> Write:
    """The first row names the columns; a vector takes as many as it is long."""
    writer = csv.writer(paper, lineterminator="\n")
    named = False

    def write(row: Row) -> None:
        nonlocal named
        flat = dict(_flat(row))
        if not named:
            writer.writerow(flat)
            named = True
        writer.writerow(flat.values())

    return write


def _flat(row: Row) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, list):
            yield from ((f"{name}_{i}", item) for i, item in enumerate(value))
        else:
            yield name, value
