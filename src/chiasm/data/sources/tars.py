"""Tars as webdataset has them: the files of a sample lie together and share a name up to its first dot.

    00042.jpg  00042.txt  00042.json       one pair: picture, words, and whatever else is known

A pair is one span of bytes. In a local tar any span can be read; compressed tars and those far away
are read from front to back (`pieces.py`).
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from chiasm.data.order import WINDOW
from chiasm.data.pairs import Pair, Unread
from chiasm.data.sources.hub import PICTURES, TARS
from chiasm.data.sources.packed import Found, PackedSource
from chiasm.data.sources.pieces import BROKEN, UNPACK, Pieces, unpacked
from chiasm.data.sources.place import Place, files, size
from chiasm.data.sources.record import Skipped, decoded, numbered, parsed, reason_of, tags_of, texts_of, whole
from chiasm.data.sources.tar import Archive, Member

IMAGES = {*PICTURES, ".img"}
WORDS = (".txt", ".text", ".caption")
READ = {*WORDS, ".json", ".cls"}  # what is read while looking through


@dataclass
class _Sample:
    """Members of one key."""

    key: str = ""
    members: dict[str, Member] = field(default_factory=dict[str, Member])  # by ending
    read: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def fits(self, key: str, ending: str) -> bool:
        return not self.members or (key == self.key and ending not in self.members)

    def add(self, key: str, ending: str, member: Member, archive: Archive) -> None:
        self.key = key
        self.members[ending] = member
        if ending in READ:
            self.read[ending] = archive.content(member)

    @property
    def picture(self) -> str:
        """The ending of the picture, "" for none: `a.jpg` before `a.mask.png`."""
        endings = sorted(self.members, key=lambda ending: ending.count("."))
        return next((ending for ending in endings if f".{ending.rpartition('.')[2]}" in IMAGES), "")

    def said(self, shard: str) -> tuple[str, list[str], dict[str, Any]]:
        """Its id, texts and tags; the JSON's id counts, else the shard and the key."""
        record = parsed(self.read[".json"]) if ".json" in self.read else {}
        inner = record.get("tags")
        tags = tags_of(record)
        if isinstance(inner, Mapping):  # as `write_tar` has them
            tags = {name: value for name, value in tags.items() if name != "tags"} | dict(inner)
        own = whole(str(record.get("id") or f"{shard}/{self.key}"))
        told = {ending: decoded(self.read[ending]).strip() for ending in (*WORDS, ".cls") if ending in self.read}
        if ".cls" in told:
            tags["cls"] = told[".cls"]
        words = [told[ending] for ending in WORDS if told.get(ending)][:1]
        return own, words or texts_of(record) or list(filter(None, [told.get(".cls")])), tags


class TarSource(PackedSource):
    """Pairs of a tar, of all tars in a folder, or of those that a pattern stands for, in the order of their members.

    A tar that is cut off or damaged gives what can be read of it; the rest is named in `skipped`.
    """

    looked_for = f"files such as 01.jpg beside 01.txt, 01.json or 01.cls in {' '.join(TARS)}"

    def __init__(self, where: str | Path) -> None:
        self._files = files(where, TARS)
        self._names = _names(self._files)
        super().__init__(where)
        mean = sum(self._places[2 :: self._width]) // len(self)
        self._pieces = Pieces(self._files, 2 * WINDOW * mean)

    @cached_property
    def shards(self) -> Sequence[range]:
        """Whole tars, where these are better read in one go."""
        return () if all(map(_jumps, self._files)) else self._runs(0)

    def _find(self) -> Iterator[Found | Skipped]:
        for number, path in enumerate(self._files):
            seen = 0
            try:
                with unpacked(path) as stream:
                    length = -1 if path.suffix.lower() in UNPACK else size(path)
                    archive = Archive(stream, length if length >= 0 else None)
                    for sample in _samples(archive):
                        yield from self._sample(number, sample)
                        seen += 1
                if not archive.ended:
                    yield Skipped(path.name, f"perhaps cut off after {seen} samples: it has no end mark")
            except (*BROKEN, ValueError) as error:
                reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
                yield Skipped(path.name, f"cannot be read on after {seen} samples: {reason.splitlines()[0]}")

    def _sample(self, number: int, sample: _Sample) -> Iterator[Found | Skipped]:
        shard = self._names[number]
        if not sample.picture:
            yield Skipped(f"{shard}/{sample.key}", f"no picture, only {', '.join(sample.members)}")
            return
        try:
            own, texts, tags = sample.said(shard)
        except ValueError as error:
            yield Skipped(f"{shard}/{sample.key}", str(error))
            return
        if not any(texts):
            yield Skipped(own, "no text")
            return
        members = sample.members.values()
        start = min(member.start for member in members)
        span = (start, max(member.end for member in members) - start)
        weight = sample.members[sample.picture].size
        for text, words in enumerate(texts):
            yield Found(numbered(own, text + 1), (words, tags, weight), (number, *span, text))

    def _pair(self, *place: int) -> Pair:
        number, start, length, text = place
        path = self._files[number]
        try:
            data = self._bytes(number, start, length)
        except OSError as error:
            return Pair(f"{self._names[number]}:{start}", Unread(str(path), reason_of(error)), "")
        try:
            (sample,) = _samples(Archive(io.BytesIO(data), len(data)))
            own, texts, tags = sample.said(self._names[number])
            picture = sample.members[sample.picture]
            return Pair(numbered(own, text + 1), data[picture.at :][: picture.size], texts[text], tags)
        except (LookupError, ValueError) as error:
            raise ValueError(f"{path} has changed since it was opened: open it again") from error

    def _bytes(self, number: int, start: int, length: int) -> bytes:
        path = self._files[number]
        if isinstance(path, Path) and _jumps(path):
            with path.open("rb", buffering=0) as raw:
                raw.seek(start)
                return raw.read(length)
        return self._pieces.read(number, start, length)


def _samples(archive: Archive) -> Iterator[_Sample]:
    """Neighbours of one key; where the archive is damaged, what came before, and then the error."""
    sample, broken = _Sample(), None
    try:
        for member in archive:
            key, ending = _parted(member.name)
            if ending and not sample.fits(key, ending):
                yield sample
                sample = _Sample()
            if ending:
                sample.add(key, ending, member, archive)
    except (*BROKEN, ValueError) as error:
        broken = error
        sample.members = {ending: each for ending, each in sample.members.items() if each.at + each.size <= archive.at}
    if sample.members:
        yield sample
    if broken:
        raise broken


def _jumps(path: Place) -> bool:
    """Whether any pair in it is as near as any other."""
    return isinstance(path, Path) and path.suffix.lower() not in UNPACK


def _parted(name: str) -> tuple[str, str]:
    """`a/01.seg.PNG` is a/01 and .seg.png; no ending for what belongs to no sample."""
    folder, slash, base = name.rpartition("/")
    stem, dot, ending = base.partition(".")
    return f"{folder}{slash}{stem}", f".{ending.lower()}" if stem and dot else ""


def _names(paths: Sequence[Place]) -> list[str]:
    """What to call each tar: as little of its place as tells it from the others."""
    names = [path.name[: -len(ending)] for path in paths for ending in TARS if path.name.lower().endswith(ending)]
    if len(set(names)) == len(paths):
        return names
    return [f"{path.parent.name}/{path.name}" for path in paths]
