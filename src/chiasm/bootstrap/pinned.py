"""Records that a folder is begun with: the same again is nothing to do, another one is an error."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from chiasm.core.files import differing, read_record, write_atomic

Record = Mapping[str, Any]  # what JSON can hold
Kind = TypeVar("Kind")


def encode(record: Record) -> bytes:
    """The record as the only JSON there is for it."""
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def fingerprint(record: Record) -> str:
    """Changes when the record does."""
    return hashlib.sha256(encode(record)).hexdigest()[:16]


_hints = cache(get_type_hints)  # there may be very many records


def read_as(kind: type[Kind], path: Path) -> Kind:
    """The record as a dataclass that has its names and types, to the last one."""
    record, hints = read_record(path), _hints(kind)
    if odd := sorted(record.keys() ^ hints.keys()):
        raise ValueError(f"{path} is damaged, or of another version of chiasm: look at {', '.join(odd)}")
    for name, hint in hints.items():
        if not isinstance(record[name], get_origin(hint) or hint):
            raise ValueError(f"{path} is damaged: {name} cannot be {record[name]!r}")
    return kind(**record)


def pin(path: Path, record: Record, *, writer: str = "") -> None:
    """Write the record, or hold it against the one that was written before."""
    if not path.exists():
        write_atomic(path, encode(record), writer=writer)
        return
    old, new = read_record(path), json.loads(encode(record))
    if different := differing(old, new):
        told = ", ".join(f"{name} was {was!r} and is {now!r} now" for name, was, now in different)
        raise ValueError(f"{path.parent} was begun differently: {told}; go on as it was begun, or take a new folder")
