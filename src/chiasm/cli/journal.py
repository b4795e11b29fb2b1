"""A table that is written as its rows are made, and gone on with wherever it was killed.

captions.csv            rows, appended
captions.csv.run.json   what was asked for, and how many pictures and bytes are safe: told after the bytes are

Bytes beyond those that are safe, a torn last line among them, are cut off and made again.
"""

import errno
import json
import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chiasm.cli.rows import Form, Row
from chiasm.core.files import differing, read_record, write_atomic, writing

SAFE_EVERY = 1.0  # seconds: at most so much work is lost


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a table is: pictures asked about, those that could not be read, bytes."""

    done: int = 0
    broken: int = 0
    bytes: int = 0

    def after(self, *, pictures: int, broken: int, size: int = 0) -> "Position":
        """Where so much more leads."""
        return Position(done=self.done + pictures, broken=self.broken + broken, bytes=self.bytes + size)


class Journal:
    """Rows on their way to a file, from `position` on."""

    def __init__(self, out: Path, form: Form, record: "Record", position: Position) -> None:
        self.out, self.form, self.record = out, form, record
        self.path = form.journal(out)
        with writing(out):
            if position.done == 0:
                out.parent.mkdir(parents=True, exist_ok=True)
                record.write(Position())  # before there is anything to tell, so that no file is without
            elif not self.path.is_file() or self.path.stat().st_size < position.bytes:
                raise ValueError(f"{self.path} has lost rows that {record.path.name} counts: delete it to begin anew")
            self._file = self.path.open("ab")
            self._file.truncate(position.bytes)
        self.position, self._saved = position, time.monotonic()
        if position.done == 0:
            self._append(form.opening(), pictures=0, broken=0)

    def add(self, rows: Sequence[Row], *, pictures: int, broken: int) -> None:
        """Append the rows of some pictures."""
        self._append(self.form.encode(rows), pictures=pictures, broken=broken)
        if time.monotonic() - self._saved >= SAFE_EVERY:
            self.save()

    def save(self) -> None:
        """Make safe what was added."""
        with writing(self.out):
            os.fsync(self._file.fileno())
        self.record.write(self.position)
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Put the file together from what is safe."""
        self.save()
        with writing(self.out):
            self.form.finish(self.out)
            if self.path != self.out:
                self.path.unlink()

    def close(self) -> None:
        """Let go of the file; of a table without rows nothing is left."""
        with suppress(OSError):  # what a full disk did not take is not safe, and will be made again
            self._file.close()
        if self.position.done == 0:
            self.path.unlink(missing_ok=True)
            self.record.path.unlink(missing_ok=True)

    def _append(self, data: bytes, *, pictures: int, broken: int) -> None:
        with writing(self.out):
            self._file.write(data)
            self._file.flush()
        self.position = self.position.after(pictures=pictures, broken=broken, size=len(data))


@dataclass(frozen=True)
class Whole:
    """A table to which there is nothing to add."""

    position: Position

    def add(self, rows: Sequence[Row], *, pictures: int, broken: int) -> None:
        """Never asked for."""
        raise ValueError(f"{len(rows)} rows of {pictures} pictures ({broken} broken) for a table that is whole")


class Record:
    """What stands beside a table."""

    def __init__(self, out: Path, asked: Mapping[str, Any]) -> None:
        self.out, self.path = out, out.with_name(f"{out.name}.run.json")
        self.asked: Mapping[str, Any] = json.loads(json.dumps(asked, default=str))

    def write(self, position: Position) -> None:
        """Tell how much is safe."""
        write_atomic(self.path, (json.dumps({**asdict(position), "asked": self.asked}) + "\n").encode())

    def read(self, journal: Path) -> Position:
        """Where an earlier start of the same command came to; raises if it was another command, or none."""
        there = [path for path in (journal, self.out) if path.is_file() and path.stat().st_size > 0]
        if not there:
            return Position()
        if not self.path.is_file():
            raise ValueError(f"{there[0]} exists, and no {self.path.name} says of what it is: use another file")
        was = read_record(self.path)
        asked, position = was.pop("asked"), Position(**was)
        if position.done == 0:
            return Position()
        if changed := differing(asked, self.asked):
            told = ", ".join(f"{name} was {old!r} and is now {new!r}" for name, old, new in changed)
            raise ValueError(f"{self.out} was begun with other options: {told}; use another file, or delete it")
        return position


@contextmanager
def journal(out: Path, form: Form, asked: Mapping[str, Any], *, of: int) -> Generator[Journal | Whole]:
    """The table of a command about `of` pictures: finished when the block ends well, safe as far as it came if not."""
    record, gathered = Record(out, asked), form.journal(out)
    with writing(out):
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(out))
        position = record.read(gathered)
    if position.done == of and out.is_file() and (gathered == out or not gathered.is_file()):
        yield Whole(position)
        return
    table = Journal(out, form, record, position)
    try:
        yield table
        table.finish()
    except BaseException:
        with suppress(OSError):
            table.save()
        raise
    finally:
        table.close()
