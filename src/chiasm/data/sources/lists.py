"""Lists of pictures with their words: a JSON object a line, or a table with a header.

::

    {"image": "a.jpg", "text": "a red dress", "id": "17", ...}      .jsonl
    image,text                                                      .csv, .tsv
    a.jpg,"a red dress, size 40"
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chiasm.data.pairs import Pair
from chiasm.data.sources.place import Place, contents
from chiasm.data.sources.record import (
    ANSWERS,
    IMAGE_KEYS,
    OURS,
    QUESTION,
    SECOND,
    TEXT_KEYS,
    Skipped,
    numbered,
    parsed,
    picture_of,
    reason_of,
    tags_of,
    texts_of,
    whole,
)

DELIMITERS = ",;\t|"
WORDS = ("id", SECOND, QUESTION, *IMAGE_KEYS, *TEXT_KEYS)
ESCAPED = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as Python hides them in a text
Rows = Iterator[tuple[int, Mapping[str, Any] | str]]  # number of the line, and what it says or is wrong with


@dataclass(frozen=True)
class Listed:
    """A pair as a list knows it; the picture has not been looked at."""

    id: str
    picture: Place
    text: str
    tags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    second: Place | None = None

    def pair(self) -> Pair:
        """As everyone else knows it."""
        second = None if self.second is None else contents(self.second)
        return Pair(self.id, contents(self.picture), self.text, self.tags, second)


def read_list(path: Place) -> Iterator[tuple[str, Listed | Skipped]]:
    """Each line's picture as it is written there, and the pair; several for several texts."""
    seen: Counter[str] = Counter()
    for number, row in READERS[path.suffix.lower()](path):
        name = ""
        if isinstance(row, str):
            yield name, Skipped(f"{path.name}:{number}", row)
            continue
        try:
            name = picture_of(row)
            if name == row.get(OURS) and isinstance(path, Path):
                name = _from(path.parent, name)
            for pair in listed(row, path.parent, name, seen):
                yield name, pair
        except (OSError, ValueError) as error:
            yield name, Skipped(f"{path.name}:{number}", reason_of(error))


def _from(folder: Path, name: str) -> str:
    """A path that starts at the folder or at any above it, where a command of ours may have been given it."""
    for home in (folder, *folder.absolute().parents):
        if (home / name).is_file():
            return Path(os.path.relpath(home / name, folder)).as_posix()
    return name


def listed(record: Mapping[str, Any], folder: Place, name: str, seen: Counter[str]) -> Iterator[Listed]:
    """The pairs of a record, one a text; without an id of their own they are called `name`, `name#2`, ..."""
    texts, other = texts_of(record), record.get(SECOND)
    if not texts:
        raise ValueError("no question" if ANSWERS in record else "no text")
    picture, second = folder / name, folder / other if isinstance(other, str) and other else None
    for at in (picture, second):
        if isinstance(at, Path) and not at.is_file():  # far away, whoever reads it will see
            raise ValueError("the picture's file is missing")
    own = whole(str(record.get("id") or ""))
    for number, text in enumerate(texts, 1):
        seen[name] += not own
        called = numbered(own or whole(name), number if own else seen[name])
        yield Listed(called, picture, text, tags_of(record), second)


def _json_lines(path: Place) -> Rows:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, parsed(line)
                except ValueError as error:
                    yield number, str(error)


def _table(path: Place) -> Rows:
    """Rows below a header, which also tells what parts the cells: the mark that it has most of."""
    with path.open("rb") as raw:
        lines = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        first = lines.readline()
        mark = max(DELIMITERS, key=first.count)
        header = [name.strip().lower() for name in next(csv.reader([first], delimiter=mark), [])]
        if not set(header) & set(IMAGE_KEYS) or not set(header) & set(TEXT_KEYS):
            yield 1, f"the first line names no column {' or '.join(IMAGE_KEYS)}, or none {' or '.join(TEXT_KEYS)}"
            return
        yield from _rows(csv.reader(lines, delimiter=mark, strict=True), header)


def _rows(reader: Any, header: list[str]) -> Rows:
    while True:
        number = reader.line_num + 2  # one for the header, which was read apart
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"broken row: {error}"
            continue
        if len(cells) != len(header):
            if cells:
                yield number, f"{len(cells)} cells, but {len(header)} columns"
        elif any(ESCAPED.search(cell) for cell in cells):
            yield number, "not UTF-8"
        else:
            yield number, {name: _value(name, cell) for name, cell in zip(header, cells, strict=True) if cell}


def _value(column: str, cell: str) -> Any:
    """Numbers, true and false as JSON writes them, so that `human` may be told; words as they are."""
    if column in WORDS:
        return cell
    try:
        value = json.loads(cell.lower())
    except (ValueError, RecursionError):
        return cell
    return value if isinstance(value, int | float) else cell


READERS: Mapping[str, Callable[[Place], Rows]] = {".jsonl": _json_lines, ".csv": _table, ".tsv": _table}
