"""The tar format, as far as files need it: where in an archive each member lies.

Python's `tarfile` can do more and takes ten times as long a member (bench/data.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from chiasm.data.sources.place import Stream

BLOCK = 512
NOTHING = bytes(BLOCK)
FILES = (b"0", b"\0", b"7")
LONGEST = 1 << 20  # bytes of a header's own data; more is damage


@dataclass(frozen=True)
class Member:
    """A file of an archive: its headers begin at `start`, its bytes at `at`."""

    name: str
    start: int
    at: int
    size: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.at + -(-self.size // BLOCK) * BLOCK


class Archive:
    """Members from front to back; `content` gives the bytes of the one that is being looked at.

    Where `length` is told, the stream can jump, and members that no one asks for are not read.
    """

    def __init__(self, stream: Stream, length: int | None = None) -> None:
        self._stream, self._length = stream, length
        self.at = 0  # bytes that were passed, and are known to be there
        self.ended = False  # with an end mark, which one that was cut off lacks

    def __iter__(self) -> Iterator[Member]:
        start, told = 0, dict[str, str]()
        while len(block := self._read(BLOCK)) == BLOCK:
            if block == NOTHING:
                self.ended = True
                return
            name, size, kind = _header(block)
            member = Member(told.get("path", name), start, self.at, int(told.get("size", size)))
            if self._length is not None and member.at + member.size > self._length:
                raise ValueError(f"it ends within {member.name}")
            if kind in (b"x", b"L"):
                if size > LONGEST:
                    raise ValueError("a damaged header")
                told |= _extended(self.content(member)) if kind == b"x" else {"path": _text(self.content(member))}
            else:
                if kind in FILES:
                    yield member
                start, told = member.end, {}
            self._go(member.end)
        if 0 < len(block) < BLOCK:
            raise ValueError("it ends within a header")

    def content(self, member: Member) -> bytes:
        """Its bytes; once, and before the next member."""
        data = self._read(member.size)
        if len(data) < member.size:
            raise ValueError(f"it ends within {member.name}")
        return data

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size and (part := self._stream.read(size)):
            parts.append(part)
            size -= len(part)
            self.at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _go(self, place: int) -> None:
        if self._length is not None:
            self.at = self._stream.seek(place)
        while self.at < place:
            if not self._read(min(place - self.at, 1 << 20)):
                raise ValueError("it ends within a member")


def _header(block: bytes) -> tuple[str, int, bytes]:
    """Name, size and kind."""
    told = _number(block[148:156])
    if told != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise ValueError("a damaged header")
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name, _number(block[124:136]), block[156:157]


def _number(field: bytes) -> int:
    """Octal digits, or for large files plain bytes behind a mark."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:])
    try:
        return int(field.rstrip(b" \0").strip() or b"0", 8)
    except ValueError as error:
        raise ValueError("a damaged header") from error


def _extended(data: bytes) -> dict[str, str]:
    """What lines such as `21 path=a long name` say."""
    found: dict[str, str] = {}
    while data:
        length, _, rest = data.partition(b" ")
        if not length.isdigit() or int(length) <= len(length) + 1:
            break
        key, _, value = rest[: int(length) - len(length) - 1].rstrip(b"\n").partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        data = data[int(length) :]
    return found


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
