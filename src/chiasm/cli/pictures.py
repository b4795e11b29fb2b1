"""Pictures on the disk, a batch at a time; one that cannot be read is named and left out."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chiasm.cli.errors import UsageError, one_line
from chiasm.core.errors import MediaError
from chiasm.data.images import decode
from chiasm.data.sources.files import PICTURES
from chiasm.predictor.reader import slices


@dataclass(frozen=True)
class Picture:
    """Where it stands in the list, where it lies, and what is on it."""

    index: int
    path: Path
    pixels: np.ndarray


def find(places: Iterable[Path]) -> list[Path]:
    """The pictures themselves, and all of those in folders, in order of their names."""
    found = [path for place in places for path in (_inside(place) if place.is_dir() else [place])]
    if not found:
        raise UsageError("no picture was given")
    return found


class Readable:
    """The pictures among `paths` that can be read."""

    def __init__(self, paths: list[Path], *, batch: int) -> None:
        self.paths, self.batch = paths, batch
        self.broken = 0

    def __iter__(self) -> Iterator[list[Picture]]:
        for rows in slices(len(self.paths), self.batch):
            if batch := [*self._decoded(rows.start, self.paths[rows])]:
                yield batch
        if self.broken == len(self.paths):
            raise ValueError(f"none of {len(self.paths)} pictures can be read")

    def _decoded(self, start: int, paths: list[Path]) -> Iterator[Picture]:
        for index, path in enumerate(paths, start):
            try:
                yield Picture(index, path, decode(path, index=index))
            except MediaError as error:
                if len(self.paths) == 1:
                    raise ValueError(f"{path}: {error.reason}") from error
                self.broken += 1
                print(one_line(f"skipped {path}: {error.reason}"), file=sys.stderr)


def _inside(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    if not found:
        raise ValueError(f"{folder} holds no pictures: none of its files ends in {', '.join(sorted(PICTURES))}")
    return found
