"""The one way in which commands ask about pictures: batch by batch, each answer written down before the next.

pictures ── batches ── what can be read ── verb ── rows ─┐
                    └─ what cannot, and why ─────────────┴─ a file, gone on with after a kill, or standard output
"""

import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from chiasm.cli import options
from chiasm.cli.errors import one_line
from chiasm.cli.journal import Position, journal
from chiasm.cli.pictures import Pictures, Seen, batches
from chiasm.cli.progress import progress, silence
from chiasm.cli.rows import Csv, Form, Json, Row, Schema, form_of
from chiasm.predictor.verbs import Predictor
from chiasm.training.checkpoint import check

NAME, ERROR = pa.field("picture", pa.string()), pa.field("error", pa.string())


@dataclass(frozen=True)
class Verb:
    """What a command asks of pictures that can be read, and what its answers look like."""

    ask: Callable[[Sequence[Seen]], Sequence[Sequence[Row]]]  # one or more rows for each
    columns: Mapping[str, Any]  # their types in Arrow
    plain: Callable[[Row], str]  # a row as text, where there is one picture

    @property
    def table(self) -> Schema:
        return pa.schema([NAME, *(pa.field(name, kind) for name, kind in self.columns.items()), ERROR])


@runtime_checkable
class Sheet(Protocol):
    """Where rows go."""

    @property
    def position(self) -> Position: ...

    def add(self, rows: Sequence[Row], *, pictures: int, broken: int) -> None: ...


class Printed:
    """Rows on standard output."""

    def __init__(self, form: Form) -> None:
        self.form, self.position = form, Position()

    def add(self, rows: Sequence[Row], *, pictures: int, broken: int) -> None:
        opening = b"" if self.position.done else self.form.opening()  # with the first rows, not before there are some
        self._put(opening + self.form.encode(rows))
        self.position = self.position.after(pictures=pictures, broken=broken)

    def _put(self, data: bytes) -> None:
        sys.stdout.write(data.decode(self.form.encoding if isinstance(self.form, Json) else "utf-8"))


def ask_all(pictures: Pictures, model: Predictor, verb: Verb, asked: Any) -> None:
    """Ask about the pictures, write down what comes back, and of what is broken the reason."""
    written: options.Output = asked.written
    if len(pictures) == 1 and written.out is None:
        _tell(pictures, model, verb, written)
        return
    shows_itself = written.out is None and sys.stdout.isatty()
    size, total = asked.computed.batch_size, len(pictures)
    told = {} if written.out is None else {"pictures": f"{total} ({pictures.fingerprint})"}
    with (
        _sheet(asked, verb.table, model, told, of=total) as sheet,
        nullcontext(silence) if shows_itself else progress() as tell,
    ):
        before, began = sheet.position.done, time.monotonic()
        for seen in batches(pictures, model.processor, batch=size, start=before):
            broken, rows = [one for one in seen if one.square is None], _rows(seen, verb)
            for one in broken:
                print(one_line(f"skipped {one.name}: {one.error}"), file=sys.stderr)
            sheet.add(rows, pictures=len(seen), broken=len(broken))
            done = sheet.position.done
            pace = (done - before) / max(1e-6, time.monotonic() - began)
            tell("pictures", done, total, f"{pace:.1f} a second, {sheet.position.broken} broken")
    if sheet.position.broken == total:
        raise ValueError(f"none of {total} pictures can be read")
    print(f"{total} pictures, {sheet.position.broken} skipped", file=sys.stderr)


def note(rows: Sequence[Row], table: Schema, model: Predictor, asked: Any) -> None:
    """Write down rows that were made at once."""
    with _sheet(asked, table, model, {}, of=len(rows)) as sheet:
        if sheet.position.done < len(rows):
            sheet.add(rows, pictures=len(rows), broken=0)


def _tell(pictures: Pictures, model: Predictor, verb: Verb, written: options.Output) -> None:
    """All there is to say about the only picture."""
    ((one,),) = batches(pictures, model.processor, batch=1)
    if one.square is None:
        raise ValueError(f"{one.name}: {one.error}")
    (answers,) = verb.ask([one])
    if written.json:
        Printed(Json(sys.stdout.encoding or "utf-8")).add(
            [{NAME.name: one.name, **row} for row in answers], pictures=1, broken=0
        )
    else:
        print(*map(verb.plain, answers), sep="\n")


@contextmanager
def _sheet(asked: Any, table: Schema, model: Predictor, told: Mapping[str, str], *, of: int) -> Generator[Sheet]:
    written: options.Output = asked.written
    if written.out is None:
        yield Printed(Json(sys.stdout.encoding or "utf-8") if written.json else Csv(table))
        return
    form = form_of(written.out, table)
    options_ = {name: value for name, value in asdict(asked).items() if name not in {"written", "pictures"}}
    with journal(written.out, form, {**options_, **told, "weights": check(model.module)}, of=of) as sheet:
        yield sheet


def _rows(seen: Sequence[Seen], verb: Verb) -> list[Row]:
    """The rows of a batch, in its order."""
    readable = [one for one in seen if one.square is not None]
    answers = iter(verb.ask(readable) if readable else ())
    nothing = dict.fromkeys(verb.columns)
    return [
        {NAME.name: one.name, **row, ERROR.name: one.error or None}
        for one in seen
        for row in ([nothing] if one.square is None else next(answers))
    ]
