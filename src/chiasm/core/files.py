"""Writing so that a crash leaves the old bytes or the new ones, never a mixture; reading what may be damaged."""

import errno
import json
import os
import shutil
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chiasm.core.errors import MediaError

MEND = "bring it back from a copy, or delete it and start again"
FULL = {errno.ENOSPC, errno.EDQUOT}


class OutputError(OSError):
    """Something could not be written: where, and why."""


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn a full disk or a read-only folder into one sentence that names `path`."""
    try:
        yield
    except (OutputError, BrokenPipeError):  # a reader that left has nothing to do with the file
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        todo = "make room there" if error.errno in FULL else "choose a place that can be written"
        told = OutputError(f"cannot write {path}: {reason}; what was finished before is intact: {todo} and start again")
        told.errno = error.errno
        raise told from error


def read_file(path: Path, *, most: int) -> bytes:
    """The bytes of a file; a pipe or a device, which may never end, and what is larger than `most` are an `OSError`."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
        raise OSError(errno.EINVAL, "Is a pipe or a device, not a file", str(path))
    if about.st_size > most:
        raise OSError(errno.EFBIG, f"Has {about.st_size:,} bytes, and at most {most:,} are read", str(path))
    return path.read_bytes()


def read_thing(path: str | Path, *, index: int, most: int, kind: str = "picture") -> bytes:
    """The bytes of one of many things of a kind; what is wrong is a `MediaError` that names it."""
    try:
        return read_file(Path(path), most=most)
    except OSError as error:
        raise MediaError(index, str(path), error.strerror or str(error), kind) from error
    except ValueError as error:  # a name that no file can have
        raise MediaError(index, repr(str(path)), str(error), kind) from error


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds; anything else is damage, and a `ValueError` that says where."""
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}; {MEND}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object; {MEND}")
    return record


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What two records disagree on, by name, with both values; `stage.name` stands for a record inside a record."""
    was, now = _flat(old), _flat(new)
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    return [(name, was.get(name), now.get(name)) for name in names]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def write_atomic(path: Path, data: bytes, *, writer: str = "") -> None:
    """Put `data` at `path`: to a temporary name beside it, on to the disk, then renamed.

    The temporary name is a function of `path` and `writer`, so that a crash leaves at most one, which
    the next try overwrites; processes that may write the same path at the same moment need to be
    different writers.
    """
    temporary = path.with_name(f".{path.name}{writer and '.' + writer}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """A folder to fill; it takes its name when the block ends well, whole or not at all.

    An older folder of that name steps aside first: a crash just then leaves it as `.NAME.old`
    beside the finished `.NAME.part`.
    """
    temporary, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    with writing(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    yield temporary
    with writing(path):
        for file in sorted(temporary.rglob("*")):
            (sync_folder if file.is_dir() else sync_file)(file)
        sync_folder(temporary)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        temporary.rename(path)
        sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the system can (Windows cannot)."""
    if os.name == "nt":
        return
    sync_file(folder)


def sync_file(path: Path) -> None:
    """Make what was written to a file survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
