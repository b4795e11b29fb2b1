"""Tables of numbers with the best of each column marked, for a page and for Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from html import escape
from itertools import groupby

from chiasm.report.markup import Content, Html, element, join


class Better(Enum):
    """Which number of a column is the best."""

    HIGHER = auto()
    LOWER = auto()
    NEITHER = auto()


@dataclass(frozen=True)
class Column:
    """A heading, the heading it shares with its neighbours, and how its numbers compare."""

    title: str
    group: str = ""
    better: Better = Better.NEITHER


@dataclass(frozen=True)
class Number:
    """A number as it is shown, with a remark in small print: an interval, a spread."""

    value: float
    text: str
    remark: str = ""


Cell = str | Html | Number


@dataclass(frozen=True)
class Table:
    """Rows below columns; the first column names the row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a table of {len(self.columns)} columns has a row of {len(row)}: {row}")

    def best(self) -> list[str]:
        """What the best number of each column looks like: equal looks are equally good."""
        return [_best(column, [row[i] for row in self.rows]) for i, column in enumerate(self.columns)]


def html(table: Table, caption: Content = "") -> Html:
    """A table that scrolls sideways where the page is narrow."""
    body = [element("tr", *_cells(row, table.best())) for row in table.rows]
    parts = [element("thead", *_head(table.columns)), element("tbody", *body)]
    about = element("p", caption, class_="about") if caption else ""
    return element("div", about, element("div", element("table", *parts), class_="scroll"), class_="table")


def markdown(table: Table) -> str:
    """The same table for a document: best in bold, groups spelt out in each heading."""
    titles = [_plain(f"{column.group} {column.title}".strip()) for column in table.columns]
    rules = ["---", *("---:" for _ in table.columns[1:])]
    best = table.best()
    rows = [[_word(cell, top) for cell, top in zip(row, best, strict=True)] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in [titles, rules, *rows])


def _best(column: Column, cells: Sequence[Cell]) -> str:
    numbers = [cell for cell in cells if isinstance(cell, Number)]
    if column.better is Better.NEITHER or len({number.text for number in numbers}) < 2:
        return ""
    choose = max if column.better is Better.HIGHER else min
    return choose(numbers, key=lambda number: number.value).text


def _head(columns: Sequence[Column]) -> Iterator[Html]:
    if any(column.group for column in columns):
        spans = ((group, len(list(members))) for group, members in groupby(columns, key=lambda column: column.group))
        yield element("tr", *(element("th", group, colspan=str(size), scope="colgroup") for group, size in spans))
    yield element("tr", *(element("th", column.title, scope="col") for column in columns))


def _cells(row: Sequence[Cell], best: Sequence[str]) -> Iterator[Html]:
    first, *others = row
    yield element("th", _show(first), scope="row")
    for cell, top in zip(others, best[1:], strict=True):
        kind = "best" if isinstance(cell, Number) and cell.text == top else "cell"
        yield element("td", _show(cell), class_=kind)


def _show(cell: Cell) -> Content:
    if isinstance(cell, Number):
        return join(cell.text, element("small", cell.remark)) if cell.remark else cell.text
    return cell


def _word(cell: Cell, best: str) -> str:
    if isinstance(cell, Html):
        raise TypeError(f"Markdown takes words and numbers, but not the markup {cell.markup!r}")
    if isinstance(cell, str):
        return _plain(cell)
    text = f"**{cell.text}**" if cell.text == best else cell.text
    return f"{text} ({cell.remark})" if cell.remark else text


def _plain(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")
