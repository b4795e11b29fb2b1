"""Where files lie: on this machine, or behind a URL that fsspec understands.

    shop/a.jpg          a `pathlib.Path`
    s3://shop/a.jpg     a `Remote`, which has those of `Path`'s methods that readers need

A pattern stands for many: `shards/{000000..000099}.tar`, `shards/*.tar`.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from chiasm.data.pairs import Stored, Unread
from chiasm.data.sources.patience import Patient, patiently
from chiasm.data.sources.record import reason_of

# fsspec's file systems are untyped, and raise ImportError where a package for a protocol is missing
T = TypeVar("T")
CHUNK = 1 << 16  # bytes that are asked for at least; what a file system keeps beyond is its own affair
WEB = re.compile("https?://")  # what `chiasm[remote]` is for; fsspec itself names the packages of other protocols


@runtime_checkable
class Stream(Protocol):
    """A file that is open for reading."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, place: int, /) -> int: ...


@dataclass(frozen=True)
class Remote:
    """A file or a folder behind a URL; `length` is known where a listing told it."""

    system: Any
    path: str
    length: int = -1

    @classmethod
    def at(cls, url: str) -> "Remote":
        from fsspec.core import url_to_fs  # noqa: PLC0415 most sources are local

        try:
            system, path = url_to_fs(url)
        except ImportError as error:
            need = "pip install 'chiasm[remote]'" if WEB.search(url) else str(error)
            raise ValueError(f"{url}: its protocol needs another package: {need}") from error
        except (ValueError, OSError) as error:
            raise ValueError(f"{url} cannot be opened: {str(error) or type(error).__name__}") from error
        return cls(system, path.rstrip("/"))

    def __str__(self) -> str:
        return str(self.system.unstrip_protocol(self.path))

    def __truediv__(self, name: str) -> "Remote":
        while name.startswith("./"):
            name = name[2:]
        return Remote(self.system, f"{self.path}/{name}" if self.path else name)

    @property
    def name(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def parent(self) -> "Remote":
        return Remote(self.system, self.path.rpartition("/")[0])

    def exists(self) -> bool:
        return self.length >= 0 or bool(self.ask(self.system.exists))

    def is_dir(self) -> bool:
        return bool(self.ask(self.system.isdir))

    def is_file(self) -> bool:
        return self.length >= 0 or bool(self.ask(self.system.isfile))

    def open(self, mode: str) -> io.BufferedReader:
        """The file; it outlives its connection."""
        return io.BufferedReader(Patient(lambda: self.system.open(self.path, mode), str(self)), CHUNK)

    def read_bytes(self) -> bytes:
        return self.ask(self.system.cat_file)

    def ask(self, what: Callable[..., T], **how: Any) -> T:
        """Something about this path, of the file system, with patience."""
        return patiently(lambda: what(self.path, **how), str(self))


Place = Path | Remote


def place(where: str | Path) -> Place:
    """What a user calls a file or a folder."""
    return Remote.at(where) if isinstance(where, str) and is_url(where) else Path(where)


def is_url(where: str) -> bool:
    """`s3://shop`, or `zip://photos::shop.zip`."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", where))


def size(at: Place) -> int:
    """Bytes of a file, without asking far away for what no listing told; -1 where it is not known."""
    if isinstance(at, Remote):
        return at.length
    try:
        return at.stat().st_size
    except OSError:
        return -1


def contents(at: Place) -> Stored:
    """What a pair holds of a picture: bytes if it is far away; if it has gone there, none, which no one can decode."""
    if isinstance(at, Path):
        return at
    try:
        return at.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        return Unread(str(at), reason_of(error))


def inside(folder: Place) -> list[Place]:
    """What lies in a folder, by name, but for hidden ones."""
    if isinstance(folder, Remote):
        facts = sorted(folder.ask(folder.system.ls, detail=True), key=lambda each: each["name"])
        found: list[Place] = [Remote(folder.system, each["name"].rstrip("/"), _length(each)) for each in facts]
    else:
        found = [*sorted(folder.iterdir())]
    return [at for at in found if not at.name.startswith(".")]


def files(where: str | Path, endings: tuple[str, ...]) -> list[Place]:
    """The files of a source that is one file, a folder of some, or a pattern; those that are missing too."""
    pattern = str(where)
    if is_pattern(pattern) and (is_url(pattern) or not Path(pattern).exists()):
        found = expand(pattern)
    else:
        at = place(where)
        found = [each for each in inside(at) if each.name.lower().endswith(endings)] if at.is_dir() else [at]
    return [_measured(at) for at in found]


def _measured(at: Place) -> Place:
    if isinstance(at, Path) or at.length >= 0 or not at.exists():
        return at
    return Remote(at.system, at.path, _number(at.ask(at.system.size)))


def _length(facts: Mapping[str, Any]) -> int:
    return _number(facts.get("size")) if facts.get("type") == "file" else -1


def _number(size: Any) -> int:
    """A length, where the server tells one."""
    return -1 if size is None else int(size)


def below(folder: Place) -> Iterator[tuple[str, Place]]:
    """All files at any depth but hidden ones, by name; each with its path from the folder on."""
    if isinstance(folder, Remote):
        start = f"{folder.path}/" if folder.path else ""
        for path, facts in sorted(folder.ask(folder.system.find, detail=True).items()):
            at = Remote(folder.system, path, _length(facts))
            if not at.name.startswith("."):
                yield path.removeprefix(start), at
    else:
        for path in sorted(folder.rglob("*")):
            if not path.name.startswith(".") and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def is_pattern(where: str) -> bool:
    """Whether it stands for many places."""
    return bool(re.search(r"\{.*\}|\*", where))


def expand(pattern: str) -> list[Place]:
    """All places that a pattern stands for: what braces name, whether it exists or not, and what `*` finds."""
    found: list[Place] = []
    for where in braces(pattern):
        if not is_pattern(where):
            found.append(place(where))
        elif is_url(where):
            folder = Remote.at(where)
            found += [Remote(folder.system, path) for path in sorted(folder.ask(folder.system.glob))]
        else:
            plain = re.sub(r"[\[?]", r"[\g<0>]", where)  # only `*` is ours
            found += [Path(path) for path in sorted(glob(plain))]  # noqa: PTH207 Path.glob takes no absolute patterns
    return found


def braces(pattern: str) -> list[str]:
    """`{08..10}` is 08 09 10, `{a,b}` is a b; braces in braces are not understood."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    before, inside, after = pattern[: match.start()], match[1], pattern[match.end() :]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    words = inside.split(",")
    if numbers:
        width = len(numbers[1]) if numbers[1].startswith("0") else 0
        words = [f"{number:0{width}d}" for number in range(int(numbers[1]), int(numbers[2]) + 1)]
    rest = braces(after)
    return [f"{before}{word}{end}" for word in words for end in rest]
