"""Pairs as one file a shard: parquet, or a tar that webdataset reads."""

import io
import json
import os
import tarfile
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import Image

from chiasm.core.files import sync_folder, writing
from chiasm.data.pairs import Pair
from chiasm.data.sources.parquet import write_parquet

SIGNATURES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}


class Form(Enum):
    """How a shard is written; the value ends its name."""

    PARQUET = "parquet"
    TAR = "tar"

    def write(self, pairs: Iterable[Pair], path: Path) -> None:
        """Put pairs into a file, whole or not at all; the same pairs give the same bytes."""
        (write_parquet if self is Form.PARQUET else write_tar)(pairs, path)


def encoded(image: Path | bytes | np.ndarray) -> bytes:
    """A picture as a file: as it was, or as PNG if it never was one."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, Path):
        return image.read_bytes()
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, "PNG")
    return sink.getvalue()


def write_tar(pairs: Iterable[Pair], path: Path) -> None:
    """Three members a pair: the picture as it is, its text, and a JSON of everything else.

    They are named by shard and row, since an id may hold what a file name must not; owner, mode and
    time are constants.
    """
    temporary = path.with_name(f".{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for row, pair in enumerate(pairs):
                    for ending, data in _members(pair).items():
                        member = tarfile.TarInfo(f"{path.stem}{row:06d}.{ending}")
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


def _members(pair: Pair) -> dict[str, bytes]:
    picture = encoded(pair.image)
    ending = next((ending for start, ending in SIGNATURES.items() if picture.startswith(start)), "img")
    facts = {"id": pair.id, "text": pair.text, "tags": dict(pair.tags)}
    return {ending: picture, "txt": pair.text.encode(), "json": json.dumps(facts, sort_keys=True).encode()}
