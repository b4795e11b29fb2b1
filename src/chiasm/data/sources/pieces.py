"""Bytes from anywhere in files that are best read from front to back: compressed ones, and those far away.

    file ── opened, decompressed ── pieces of `PIECE` bytes ── the last ones stay ── any span

A span before the last one that was read costs a new start, unless its pieces are still here; so read
windows of neighbours, as `data/order.py` does.
"""

import bz2
import gzip
import lzma
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa

from chiasm.data.sources.place import Place

PIECE = 1 << 20
OPEN = 4  # files at a time
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)  # what damaged files were seen to raise


def plain(raw: Any) -> Any:
    """Not compressed at all."""
    return raw


def _zstd(raw: Any) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")


UNPACK: Mapping[str, Callable[[Any], Any]] = {
    ".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd,
}  # fmt: skip


def unpacked(path: Place) -> IO[bytes]:
    """A file's bytes as they were before they were compressed."""
    return UNPACK.get(path.suffix.lower(), plain)(path.open("rb"))


class Pieces:
    """Spans of several files; at least `budget` bytes that were read last stay in memory."""

    def __init__(self, files: Sequence[Place], budget: int) -> None:
        self._files, self._room = files, max(4, -(-budget // PIECE))
        self._pieces: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._open: OrderedDict[int, tuple[int, IO[bytes]]] = OrderedDict()  # file -> its next piece, and the stream
        self._lock = threading.Lock()

    def read(self, file: int, start: int, length: int) -> bytes:
        """As many bytes as there are, at most `length`."""
        first, last = start // PIECE, (start + length - 1) // PIECE
        with self._lock:
            found = b"".join([self._piece(file, number) for number in range(first, last + 1)])
        return found[start - first * PIECE :][:length]

    def _piece(self, file: int, number: int) -> bytes:
        if (file, number) not in self._pieces:
            self._advance(file, number)
        self._pieces.move_to_end((file, number))
        return self._pieces[file, number]

    def _advance(self, file: int, number: int) -> None:
        """Read on to a piece; what lies on the way is wanted soon, and stays."""
        at, stream = self._open.pop(file, (number + 1, None))
        if stream is None or at > number:
            at, stream = 0, unpacked(self._files[file])
            if stream.seekable() and self._files[file].suffix.lower() not in UNPACK:
                at = number
                stream.seek(number * PIECE)
        while at <= number:
            self._pieces[file, at] = _filled(stream)
            at += 1
            while len(self._pieces) > self._room:
                self._pieces.popitem(last=False)
        self._open[file] = at, stream
        if len(self._open) > OPEN:
            self._open.popitem(last=False)[1][1].close()


def _filled(stream: IO[bytes]) -> bytes:
    """A whole piece, unless the file ends; what is broken ends there."""
    parts: list[bytes] = []
    left = PIECE
    try:
        while left and (part := stream.read(left)):
            parts.append(bytes(part))
            left -= len(part)
    except BROKEN:
        pass
    return b"".join(parts)
