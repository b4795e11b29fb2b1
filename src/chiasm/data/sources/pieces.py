"""Bytes from anywhere in files that are best read from front to back: compressed ones, and those far away.

    file ── opened, decompressed ── pieces of `PIECE` bytes ── the last ones stay ── any span

A span before the last one that was read costs a new start, unless its pieces are still here; so read
windows of neighbours, as `data/order.py` does.
"""

import bz2
import gzip
import lzma
import threading
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chiasm.data.sources.patience import UnreachableError
from chiasm.data.sources.place import Place, Stream

PIECE = 1 << 20
CHUNK = 1 << 14
OPEN = 4  # files at a time
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)  # what damaged files were seen to raise


def _zstd(raw: Any) -> Any:
    return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")


UNPACK: Mapping[str, Callable[[Any], Any]] = {
    ".gz": gzip.open, ".tgz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd,
}  # fmt: skip


@contextmanager
def unpacked(path: Place) -> Generator[Stream]:
    """A file's bytes as they were before they were compressed."""
    with path.open("rb") as raw:
        if unpack := UNPACK.get(path.suffix.lower()):
            with unpack(raw) as stream:
                yield _Chunks(stream)
        else:
            yield raw


class _Chunks:
    """A stream that is always read alike, so that one that breaks gives as much to whoever asks for however much."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, b""

    def read(self, size: int, /) -> bytes:
        """As much as there is, at most `size`; once nothing is left, what broke it."""
        parts: list[bytes] = []
        while size > 0:
            try:
                self._left = self._left or self._stream.read(CHUNK)
            except BROKEN:
                if parts:
                    break
                raise
            if not self._left:
                break
            parts.append(self._left[:size])
            self._left = self._left[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def seek(self, place: int, /) -> int:
        raise OSError(f"a compressed file cannot jump to {place}")


@dataclass
class _Open:
    """A file, and the number of the piece that it would give next."""

    stream: Stream
    home: ExitStack
    at: int = 0


class Pieces:
    """Spans of several files; at least `budget` bytes that were read last stay in memory."""

    def __init__(self, files: Sequence[Place], budget: int) -> None:
        self._files, self._room = files, max(4, -(-budget // PIECE))
        self._pieces: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._open)

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
        opened = self._open.pop(file, None)
        if opened is None or opened.at > number:
            if opened:
                opened.home.close()
            home = ExitStack()
            opened = _Open(home.enter_context(unpacked(self._files[file])), home)
            if self._files[file].suffix.lower() not in UNPACK:
                opened.at = opened.stream.seek(number * PIECE) // PIECE
        while opened.at <= number:
            try:
                self._pieces[file, opened.at] = _filled(opened.stream)
            except UnreachableError:
                opened.home.close()
                raise
            opened.at += 1
            while len(self._pieces) > self._room:
                self._pieces.popitem(last=False)
        self._open[file] = opened
        if len(self._open) > OPEN:
            self._open.popitem(last=False)[1].home.close()


def _close(files: OrderedDict[int, _Open]) -> None:
    while files:
        files.popitem()[1].home.close()


def _filled(stream: Stream) -> bytes:
    """A whole piece, unless the file ends; what is broken ends there."""
    parts: list[bytes] = []
    left = PIECE
    try:
        while left and (part := stream.read(left)):
            parts.append(bytes(part))
            left -= len(part)
    except UnreachableError:  # nothing is known to be wrong with the file
        raise
    except BROKEN:
        pass
    return b"".join(parts)
