"""Records that a folder is begun with: the same again is nothing to do, another one is an error."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chiasm.core.files import write_atomic

Record = Mapping[str, Any]  # what JSON can hold


def encode(record: Record) -> bytes:
    """The record as the only JSON there is for it."""
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def fingerprint(record: Record) -> str:
    """Changes when the record does."""
    return hashlib.sha256(encode(record)).hexdigest()[:16]


def pin(path: Path, record: Record, *, writer: str = "") -> None:
    """Write the record, or hold it against the one that was written before."""
    if not path.exists():
        write_atomic(path, encode(record), writer=writer)
        return
    old, new = json.loads(path.read_bytes()), json.loads(encode(record))
    different = [
        f"{name} was {old.get(name)!r} and is {new.get(name)!r} now"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if different:
        raise ValueError(
            f"{path.parent} was begun differently: {', '.join(different)}; go on as it was begun, or take a new folder"
        )
