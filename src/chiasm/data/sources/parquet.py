"""Pairs in parquet files: `id`, `image` (its bytes, or a path beside the file), `text`, `tags` (JSON).

Other libraries store pictures alike: `image` may be a struct of `bytes` and `path`, plain bytes or a
path, or the columns `image.bytes` and `path`; the words may be called `caption`.
"""

import hashlib
import io
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from chiasm.core.errors import MediaError
from chiasm.core.files import sync_folder, writing
from chiasm.data.pairs import Pair
from chiasm.data.sources.record import Skipped, summary

GROUP = 128  # pairs that are read together: few, since training reads in any order
KEPT = 8  # groups in memory
PICTURE, WORDS = ("image", "image.bytes", "path"), ("text", "caption")
SCHEMA = pa.schema([
    ("id", pa.string()),
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("text", pa.string()),
    ("tags", pa.string()),
])  # fmt: skip


class ParquetSource:
    """Pairs of a .parquet file, or of all in a folder; pictures are read a row group at a time.

    Files of large groups are slow in random order: `write_parquet` makes small ones. Files and rows
    that cannot be used are named in `skipped`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._digest = hashlib.sha256()
        self._places: dict[str, tuple[Path, int, int]] = {}  # id -> file, group, row of the group
        self._groups: OrderedDict[tuple[Path, int], list[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()
        skipped: list[Skipped] = []
        for file in sorted(self.path.glob("*.parquet")) if self.path.is_dir() else [self.path]:
            skipped += self._index(file)
        self._ids, self.skipped = tuple(self._places), tuple(skipped)
        if not self._ids:
            looked_for = f"columns {' or '.join(PICTURE)}, {' or '.join(WORDS)}, and perhaps id and tags"
            raise ValueError(f"no pairs in {path}: {summary(skipped) or 'nothing there'}; looked for {looked_for}")

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Pair:
        name = self._ids[index]
        file, group, row = self._places[name]
        record = self._group(file, group)[row]
        return Pair(name, _picture(record, file.parent), _text(record), json.loads(record.get("tags") or "{}"))

    @property
    def fingerprint(self) -> str:
        """Of ids, texts, tags and the sizes of the files."""
        return self._digest.hexdigest()[:16]

    def summary(self) -> str:
        """What was found and what was left out, in one line."""
        left_out = f", {len(self.skipped)} left out: {summary(self.skipped)}" if self.skipped else ""
        return f"{len(self)} pairs in {self.path}{left_out}"

    def _index(self, path: Path) -> list[Skipped]:
        """Take the rows of a file in; what cannot be used comes back."""
        skipped: list[Skipped] = []
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                if not set(names) & set(PICTURE) or not set(names) & set(WORDS):
                    return [Skipped(path.name, f"no columns for picture and text, only {', '.join(names)}")]
                self._digest.update(str(path.stat().st_size).encode())
                columns = [name for name in ("id", "tags", *WORDS) if name in names]
                for group in range(file.num_row_groups):
                    for row, record in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                        name = str(record.get("id") or f"{path.name}:{group}:{row}")
                        if reason := self._take(name, record, (path, group, row)):
                            skipped.append(Skipped(name, reason))
        except (OSError, pa.ArrowException) as error:
            skipped.append(Skipped(path.name, f"unreadable parquet: {str(error).splitlines()[0]}"))
        return skipped

    def _take(self, name: str, record: Mapping[str, Any], place: tuple[Path, int, int]) -> str:
        """Remember where a row lies, or say why not."""
        if name in self._places:
            return "duplicate id, the first is kept"
        if not _text(record):
            return "no text"
        if not _is_object(record.get("tags")):
            return "tags are no JSON object"
        self._digest.update(json.dumps([name, _text(record), record.get("tags")]).encode())
        self._places[name] = place
        return ""

    def _group(self, path: Path, group: int) -> list[dict[str, Any]]:
        key = (path, group)
        with self._lock:
            if key not in self._groups:
                with pq.ParquetFile(path) as file:
                    names = [name for name in file.schema_arrow.names if name in ("id", "tags", *PICTURE, *WORDS)]
                    self._groups[key] = file.read_row_group(group, columns=names).to_pylist()
                if len(self._groups) > KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            return self._groups[key]


def write_parquet(pairs: Iterable[Pair], path: str | Path) -> int:
    """Put pairs, with the bytes of their pictures, into one file: whole or not at all; how many they were.

    The same pairs give the same bytes. Pictures that are arrays become PNG; a file that cannot be
    read is a `MediaError`.
    """
    path, count = Path(path), 0
    temporary = path.with_name(f".{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
                for rows in _groups_of(pairs):
                    writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
                    count += len(rows)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    return count


def _groups_of(pairs: Iterable[Pair]) -> Iterator[list[dict[str, Any]]]:
    records = (_record(pair, index) for index, pair in enumerate(pairs))
    while rows := list(islice(records, GROUP)):
        yield rows


def _record(pair: Pair, index: int) -> dict[str, Any]:
    name = pair.image.name if isinstance(pair.image, Path) else None
    picture = {"bytes": _encoded(pair.image, index), "path": name}
    return {"id": pair.id, "image": picture, "text": pair.text, "tags": json.dumps(dict(pair.tags), sort_keys=True)}


def _encoded(image: Path | bytes | np.ndarray, index: int) -> bytes:
    match image:
        case bytes():
            return image
        case Path():
            try:
                return image.read_bytes()
            except OSError as error:
                raise MediaError(index, str(image), error.strerror or str(error)) from error
        case np.ndarray():
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            return buffer.getvalue()


def _picture(record: Mapping[str, Any], folder: Path) -> Path | bytes:
    """Bytes where there are any, else a path; nothing at all is an empty file to whoever decodes it."""
    image = record.get("image")
    stored: Mapping[str, Any] = image if isinstance(image, Mapping) else {}
    data = image if isinstance(image, bytes) else stored.get("bytes") or record.get("image.bytes")
    name = image if isinstance(image, str) else stored.get("path") or record.get("path")
    return data or (folder / name if name else b"")


def _text(record: Mapping[str, Any]) -> str:
    return next((record[key].strip() for key in WORDS if isinstance(record.get(key), str)), "")


def _is_object(tags: Any) -> bool:
    try:
        return tags is None or isinstance(json.loads(tags), dict)
    except (TypeError, ValueError):
        return False
