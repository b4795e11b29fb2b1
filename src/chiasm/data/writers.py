"""Pairs to files, whole or not at all: parquet, or a tar that webdataset reads. The same pairs give the same bytes."""

import io
import json
import os
import tarfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from chiasm.core.errors import MediaError
from chiasm.core.files import sync_folder, writing
from chiasm.data.pairs import Pair, Source, Stored, Unread, in_order

GROUP = 128  # pairs that are read together: few, since training reads in any order
SCHEMA = pa.schema([
    ("id", pa.string()),
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("text", pa.string()),
    ("tags", pa.string()),
])  # fmt: skip
SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


class Form(Enum):
    """How pairs are written; the value ends the file's name."""

    PARQUET = "parquet"
    TAR = "tar"

    def write(self, pairs: Source | Iterable[Pair], path: Path) -> int:
        """Put pairs into a file; how many they were."""
        return (write_parquet if self is Form.PARQUET else write_tar)(pairs, path)


def write_parquet(pairs: Source | Iterable[Pair], path: str | Path) -> int:
    """Put pairs, with the bytes of their pictures, into one file; how many they were.

    Pictures that are arrays become PNG; a file that cannot be read is a `MediaError`.
    """
    count = 0
    with _whole(Path(path)) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for rows in _groups_of(in_order(pairs)):
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            count += len(rows)
    return count


def write_tar(pairs: Source | Iterable[Pair], path: str | Path) -> int:
    """Three members a pair: the picture as it is, its text, and a JSON of everything else; how many pairs they were.

    They are named by shard and row, since an id may hold what a file name must not; owner, mode and
    time are constants.
    """
    path, count = Path(path), 0
    with _whole(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row, pair in enumerate(in_order(pairs)):
            for ending, data in _members(pair, row).items():
                member = tarfile.TarInfo(f"{path.stem}{row:06d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            count += 1
    return count


def encoded(image: Stored, *, index: int = 0) -> bytes:
    """A picture as a file: as it was, or as PNG if it never was one."""
    match image:
        case bytes():
            return image
        case Path():
            try:
                return image.read_bytes()
            except OSError as error:
                raise MediaError(index, str(image), error.strerror or str(error)) from error
        case np.ndarray():
            sink = io.BytesIO()
            Image.fromarray(image).save(sink, "PNG")
            return sink.getvalue()
        case Unread(where, reason):
            raise MediaError(index, where, reason)
        case _:
            raise MediaError(index, type(image).__name__, "is no picture, and only pictures are written")


def ending_of(picture: bytes) -> str:
    """What a picture's file is called by, without the dot."""
    return next((ending for start, ending in SIGNATURES.items() if picture.startswith(start)), "img")


@contextmanager
def _whole(path: Path) -> Generator[BinaryIO]:
    """A file that takes the name `path` when the block ends well."""
    temporary = path.with_name(f".{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


def _groups_of(pairs: Iterable[Pair]) -> Iterator[list[dict[str, Any]]]:
    records = (_record(pair, index) for index, pair in enumerate(pairs))
    while rows := list(islice(records, GROUP)):
        yield rows


def _record(pair: Pair, index: int) -> dict[str, Any]:
    name = pair.image.name if isinstance(pair.image, Path) else None
    picture = {"bytes": encoded(pair.image, index=index), "path": name}
    return {"id": pair.id, "image": picture, "text": pair.text, "tags": json.dumps(dict(pair.tags), sort_keys=True)}


def _members(pair: Pair, index: int) -> dict[str, bytes]:
    picture = encoded(pair.image, index=index)
    facts = {"id": pair.id, "text": pair.text, "tags": dict(pair.tags)}
    return {ending_of(picture): picture, "txt": pair.text.encode(), "json": json.dumps(facts, sort_keys=True).encode()}
