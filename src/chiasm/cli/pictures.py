"""Pictures of a command, a batch at a time, from files or from a source of pairs.

    places ── names or pairs ── decode, resize ── batches     one batch is read while another is in use

Only names are held. One that cannot be read comes along without pixels, and with the reason.
"""

import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from chiasm.cli.errors import UsageError
from chiasm.core.ability import Picture
from chiasm.core.errors import MediaError
from chiasm.data.images import ImageProcessor
from chiasm.data.pairs import Source
from chiasm.data.sources import is_source, open_source
from chiasm.data.sources.hub import PICTURES
from chiasm.predictor.reader import slices


@runtime_checkable
class Pictures(Protocol):
    """Pictures by number, each with a name."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[str, Picture]: ...

    @property
    def fingerprint(self) -> str:
        """Changes when the list does."""
        ...


class Files:
    """Picture files by name."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[str, Picture]:
        return self.names[index], self.names[index]

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(os.fsencode(name) + b"\0")
        return digest.hexdigest()[:16]


class Paired:
    """The pictures of pairs, by the pairs' ids."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[str, Picture]:
        pair = self.source[index]
        return pair.id, pair.image

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint


def find(places: Sequence[str]) -> Pictures:
    """The pictures themselves and all of those in folders, in order of their names; or those of one source."""
    sources = [place for place in places if is_source(place)]
    if sources and len(places) > 1:
        raise UsageError(f"{sources[0]} is a source of pictures, and goes alone; mix:A + B puts sources together")
    if sources:
        return Paired(open_source(sources[0]))
    if not places:
        raise UsageError("no picture was given")
    if len(places) == 1 and Path(places[0]).is_dir():
        return _folder(places[0])
    return Files([name for place in places for name in (_inside(place) if Path(place).is_dir() else [place])])


@dataclass(frozen=True)
class Seen:
    """One picture: where it stands in the list, its name, and its square, or why there is none."""

    index: int
    name: str
    square: Tensor | None
    error: str = ""


def batches(pictures: Pictures, images: ImageProcessor, *, batch: int, start: int = 0) -> Generator[list[Seen]]:
    """All pictures from `start` on, a multiple of `batch`."""

    def look(item: tuple[int, tuple[str, Picture]]) -> Seen:
        index, (name, picture) = item
        try:
            return Seen(index, name, images.read(picture, index=index))
        except MediaError as error:
            return Seen(index, name, None, error.reason)

    def read(rows: slice) -> list[Seen]:
        items = [(index, pictures[index]) for index in range(rows.start, rows.stop)]  # a source need know no threads
        return [*decoders.map(look, items)]

    with ThreadPoolExecutor(os.cpu_count()) as decoders, ThreadPoolExecutor(1) as reader:
        coming: Future[list[Seen]] | None = None
        for rows in slices(len(pictures), batch):
            if rows.start < start:
                continue
            following = reader.submit(read, rows)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def _folder(place: str) -> Pictures:
    """A folder of pictures, or of what pairs are packed in."""
    try:
        return Files([*_inside(place)])
    except ValueError as error:
        try:
            return Paired(open_source(place))
        except ValueError:
            raise error from None


def _inside(place: str) -> list[str]:
    found = [*_below(str(Path(place)))]
    if not found:
        raise ValueError(f"{place} holds no pictures: none of its files ends in {', '.join(sorted(PICTURES))}")
    return found


def _below(folder: str) -> Iterator[str]:
    """Picture files at any depth, in the order of their paths' parts."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        elif Path(entry.name).suffix.lower() in PICTURES and entry.is_file():
            yield entry.path
