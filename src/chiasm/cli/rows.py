"""Answers as bytes: a table whose columns an Arrow schema names, as CSV, JSON lines or Parquet.

Every form can be cut off after any batch of rows and gone on with there. Parquet cannot: what it is
made of is gathered as an Arrow stream, and put together at the end.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.parquet as pq

from chiasm.cli.errors import UsageError
from chiasm.core.files import sync_file

Row = Mapping[str, Any]
Schema = Any  # a `pyarrow.Schema`; pyarrow brings no types
Field = Any
GROUP = 10_000  # rows of a row group


@runtime_checkable
class Form(Protocol):
    """How a table is written."""

    def opening(self) -> bytes:
        """What stands before the first row."""
        ...

    def encode(self, rows: Sequence[Row]) -> bytes:
        """Rows, each with all columns."""
        ...

    def journal(self, out: Path) -> Path:
        """Where rows are gathered until all of them are there."""
        ...

    def finish(self, out: Path) -> None:
        """Make `out` of its journal, whole or not at all."""
        ...


@dataclass(frozen=True)
class Csv:
    """A vector takes as many columns as it is long."""

    schema: Schema

    def opening(self) -> bytes:
        return self._lines([[name for field in self.schema for name in _names(field.name, field.type)]])

    def encode(self, rows: Sequence[Row]) -> bytes:
        return self._lines(
            [[cell for field in self.schema for cell in _cells(row[field.name], field.type)] for row in rows]
        )

    def journal(self, out: Path) -> Path:
        return out

    def finish(self, out: Path) -> None:
        """It is whole already."""

    def _lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        paper = io.StringIO()
        csv.writer(paper, lineterminator="\n").writerows(rows)
        # half a surrogate pair, as a name that is no UTF-8 has it, is written as \udcff
        return paper.getvalue().encode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Json:
    """An object a line, with escapes where the paper could not show a sign."""

    encoding: str = "utf-8"

    def opening(self) -> bytes:
        return b""

    def encode(self, rows: Sequence[Row]) -> bytes:
        return b"".join(self._line(row) for row in rows)

    def journal(self, out: Path) -> Path:
        return out

    def finish(self, out: Path) -> None:
        """It is whole already."""

    def _line(self, row: Row) -> bytes:
        try:
            return (json.dumps(row, ensure_ascii=False) + "\n").encode(self.encoding)
        except UnicodeEncodeError:
            return (json.dumps(row) + "\n").encode(self.encoding)


@dataclass(frozen=True)
class Parquet:
    """Columns, for those who read them with pandas, DuckDB or Spark."""

    schema: Schema

    def opening(self) -> bytes:
        return self.schema.serialize().to_pybytes()

    def encode(self, rows: Sequence[Row]) -> bytes:
        plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
        return pa.RecordBatch.from_pylist(plain, self.schema).serialize().to_pybytes()

    def journal(self, out: Path) -> Path:
        return out.with_name(f".{out.name}.part")

    def finish(self, out: Path) -> None:
        temporary = out.with_name(f".{out.name}.new")
        try:
            with pa.OSFile(str(self.journal(out))) as file, pq.ParquetWriter(temporary, self.schema) as writer:
                for group in _groups(pa.ipc.open_stream(file)):
                    writer.write_table(group)
            sync_file(temporary)
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)


def form_of(out: Path, schema: Schema) -> Form:
    """What the ending of a file asks for."""
    forms: Mapping[str, Form] = {".csv": Csv(schema), ".jsonl": Json(), ".parquet": Parquet(schema)}
    if out.suffix not in forms:
        raise UsageError(f"--out takes a .csv, a .jsonl or a .parquet file, but {out} is none of them")
    return forms[out.suffix]


def _groups(batches: Iterable[Any]) -> Iterator[Any]:
    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= GROUP:
            yield pa.Table.from_batches(waiting)
            waiting.clear()
    if waiting:
        yield pa.Table.from_batches(waiting)


def _names(name: str, kind: Any) -> list[str]:
    """The columns of a cell: one, or one a number where it is a vector or several of them."""
    if not pa.types.is_fixed_size_list(kind):
        return [name]
    return [column for i in range(kind.list_size) for column in _names(f"{name}_{i}", kind.value_type)]


def _cells(value: Any, kind: Any) -> list[Any]:
    if not pa.types.is_fixed_size_list(kind):
        return [value]
    each = [None] * kind.list_size if value is None else value
    return [cell for one in each for cell in _cells(one, kind.value_type)]


def _plain(value: Any) -> Any:
    """Without halves of surrogate pairs, which Arrow cannot hold."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
