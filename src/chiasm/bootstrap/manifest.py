"""What there is to do: a source cut into shards."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from chiasm.bootstrap.pinned import encode, pin, read_as
from chiasm.core.files import write_atomic
from chiasm.data.pairs import Source
from chiasm.data.sources import anchored, open_source

Opener = Callable[[str], Source]


@dataclass(frozen=True, slots=True)
class Shard:
    """Rows `start` to `stop` of a source: done as a whole or not at all."""

    id: int
    start: int
    stop: int
    fingerprint: str

    @property
    def name(self) -> str:
        return f"{self.id:06d}"


@dataclass(frozen=True)
class Part:
    """The share of one of several jobs: every so many shards, from the index on."""

    index: int = 0
    jobs: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.jobs:
            raise ValueError(
                f"there is no job {self.index} of {self.jobs}: jobs are numbered from 0, the last is {self.jobs - 1}"
            )

    @property
    def name(self) -> str:
        return f"{self.index}-of-{self.jobs}"

    def of(self, shards: Sequence[Shard]) -> Sequence[Shard]:
        """The shards that are this job's: a function of its number, so that no job needs to know the others."""
        return shards[self.index :: self.jobs]


WHOLE = Part()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A source, and how it is cut; small whatever the source's size, since the shards follow from it."""

    source: str
    fingerprint: str
    rows: int
    shard_size: int

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        starts = range(0, self.rows, self.shard_size)
        return tuple(self._shard(i, start) for i, start in enumerate(starts))

    def _shard(self, i: int, start: int) -> Shard:
        stop = min(start + self.shard_size, self.rows)
        print_of = hashlib.sha256(f"{self.fingerprint} {start} {stop}".encode()).hexdigest()[:16]
        return Shard(i, start, stop, print_of)

    def open(self, opened: Opener) -> Source:
        """The source, if it still is what was planned."""
        source = opened(self.source)
        if source.fingerprint != self.fingerprint:
            raise ValueError(
                f"{self.source} has changed since it was planned: its fingerprint was {self.fingerprint} "
                f"and is {source.fingerprint} now; plan it into a new folder"
            )
        if len(source) != self.rows:
            raise ValueError(f"the manifest of {self.source} is damaged: {self.rows} rows, but it has {len(source)}")
        return source

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """What was planned into a run folder."""
        path = folder / "manifest.json"
        if not path.exists():
            raise ValueError(f"{folder} holds no manifest.json; plan a source into it first")
        manifest = read_as(Manifest, path)
        if min(manifest.rows, manifest.shard_size) < 1:
            raise ValueError(f"{path} is damaged: {manifest.rows} rows in shards of {manifest.shard_size}")
        return manifest


def plan(source: str | Path, folder: Path, *, shard_size: int = 1000, opened: Opener = open_source) -> Manifest:
    """Cut a source into shards; the same source again changes nothing, a changed one is an error.

    A shard is what a crash can cost, and what `select` holds in memory. A source may move: its
    fingerprint counts, not its place.
    """
    if shard_size < 1:
        raise ValueError(f"a shard needs at least 1 row, but shard_size is {shard_size}")
    where = anchored(source)
    pairs = opened(where)
    if not len(pairs):
        raise ValueError(f"{source} holds no pairs")
    manifest = Manifest(source=where, fingerprint=pairs.fingerprint, rows=len(pairs), shard_size=shard_size)
    path = folder / "manifest.json"
    old = Manifest.read(folder) if path.exists() else None
    if old:
        pin(path, asdict(replace(manifest, source=old.source)))
    if old != manifest:
        write_atomic(path, encode(asdict(manifest)))
    return manifest
