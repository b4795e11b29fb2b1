"""Reading from far away: a broken connection is tried again where it broke, then named.

open ─ read ─ read ─ lost ─ pause ─ open, go to the same place ─ read ─ ... ─ `UnreachableError`

Every file system of fsspec has errors of its own, so what counts is what waiting cannot mend.
"""

import io
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
PAUSES = (0.5, 2.0, 8.0)  # seconds before the second try, and so on
FINAL = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError, ImportError,
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip
SKIP = 1 << 20  # bytes at a time, where a file can only be read on


class UnreachableError(ConnectionError):
    """A file far away did not come, however often it was asked for."""


def patiently(work: Callable[[], T], where: str) -> T:
    """What `work` returns, as soon as it does."""
    for pause in (*PAUSES, None):
        try:
            return work()
        except FINAL:
            raise
        except Exception as error:
            if pause is None:
                told = (str(error) or type(error).__name__).splitlines()[0]
                raise UnreachableError(f"{where} cannot be read, after {len(PAUSES) + 1} tries: {told}") from error
        time.sleep(pause)
    raise AssertionError


class Patient(io.RawIOBase):
    """A file of fsspec's that outlives its connection; put a buffer around it."""

    def __init__(self, opened: Callable[[], Any], where: str) -> None:
        self._opened, self._where, self._at = opened, where, 0
        self._raw: Any = patiently(opened, where)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            place += patiently(lambda: self._try(lambda raw: raw.seek(0, io.SEEK_END)), self._where)
        self._at = place + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = patiently(lambda: self._try(lambda raw: self._read(raw, len(buffer))), self._where)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._forget()
        super().close()

    def _try(self, work: Callable[[Any], T]) -> T:
        try:
            if self._raw is None:
                self._raw = self._opened()
            return work(self._raw)
        except BaseException:
            self._forget()
            raise

    def _read(self, raw: Any, size: int) -> bytes:
        try:
            raw.seek(self._at)
        except ValueError:  # some servers give a file from front to back only
            if raw.tell() > self._at:
                self._forget()
                raw = self._raw = self._opened()
            while raw.tell() < self._at:
                if not raw.read(min(SKIP, self._at - raw.tell())):
                    return b""
        return raw.read(size)

    def _forget(self) -> None:
        raw, self._raw = self._raw, None
        with suppress(Exception):  # it may be beyond closing
            raw.close()
