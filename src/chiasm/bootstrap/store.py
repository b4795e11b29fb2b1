"""A run folder: side-cars, the records that vouch for them, and the attempts that failed.

    manifest.json       what there is to do
    settings.json       who does it, and how
    000000.parquet      a shard's side-car
    000000.done         its record, written after it: counts, and the side-car's hash
    000001.attempts     why a shard is not done, if it was tried

No file tells when, where or by which process it was made, and every name is a function of the
shard: whoever does a shard again writes the same bytes to the same places.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from chiasm.bootstrap.manifest import WHOLE, Manifest, Part, Shard
from chiasm.bootstrap.pinned import Record, encode, fingerprint, pin, read_as
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import FORMAT, Row, decode_rows, encode_rows
from chiasm.core.files import read_record, write_atomic, writing

LOG = logging.getLogger(__name__)
WEIGHTS = ("*.safetensors", "*.pth", "*.pt", "*.bin")


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A shard's record: its side-car may be trusted."""

    shard: int
    start: int
    stop: int
    fingerprint: str  # of the shard
    settings: str  # fingerprint of settings.json
    statuses: Mapping[str, int]
    sha256: str  # of the side-car


class Standing(NamedTuple):
    """A shard, its record if it may be trusted, and why each try at it failed."""

    shard: Shard
    done: Done | None
    failures: list[str]


class Store:
    """A planned run folder, as one of the jobs that share it sees it."""

    def __init__(self, folder: Path, part: Part = WHOLE) -> None:
        self.folder, self.part = folder, part
        self.manifest = Manifest.read(folder)

    @property
    def shards(self) -> Sequence[Shard]:
        """Those of this job."""
        return self.part.of(self.manifest.shards)

    def begin(self, settings: Settings) -> None:
        """Hold the run to its settings, and to the weights that lie where they point."""
        record: dict[str, Any] = asdict(settings) | {"format": FORMAT}
        for role in ("captioner", "filter"):
            record[f"{role}_weights"] = weights_of(record[role])
        if self._settings.exists():
            self._current()
        pin(self._settings, record, writer=self.part.name)

    def forget(self) -> None:
        """Let a run of which nothing is done be begun otherwise."""
        if not any(self.folder.glob("*.done")):
            _remove(self._settings)

    @cached_property
    def settings(self) -> Record:
        """What the run was begun with."""
        if not self._settings.exists():
            raise ValueError(f"{self.folder} is planned but was never run")
        return self._current()

    @cached_property
    def fingerprint(self) -> str:
        """Of the settings."""
        return fingerprint(self.settings)

    def write(self, shard: Shard, rows: Sequence[Row], settings: Settings) -> None:
        """The transaction: the side-car first, then the record that makes it count."""
        data = encode_rows(rows, settings)
        done = Done(
            shard=shard.id,
            start=shard.start,
            stop=shard.stop,
            fingerprint=shard.fingerprint,
            settings=self.fingerprint,
            statuses=dict(Counter(row.status.value for row in rows)),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        self._write(shard, "parquet", data)
        self._write(shard, "done", encode(asdict(done)))

    def done(self, shard: Shard) -> Done | None:
        """The record of a shard, if it has one that speaks of this plan and these settings."""
        return self._done(shard) if all(self._path(shard, kind).exists() for kind in ("done", "parquet")) else None

    def standing(self) -> Iterator[Standing]:
        """How each shard of this job stands, from one look into the folder, however many files it holds."""
        names = {entry.name for entry in os.scandir(self.folder)}
        for shard in self.shards:
            done = None
            if f"{shard.name}.done" in names and f"{shard.name}.parquet" in names:
                done = self._done(shard)
            yield Standing(shard, done, self.attempts(shard) if f"{shard.name}.attempts" in names else [])

    def finished(self) -> Iterator[tuple[Shard, Done]]:
        """The shards of this job that may be trusted, with their records."""
        return ((one.shard, one.done) for one in self.standing() if one.done)

    def rows(self, shard: Shard, done: Done) -> list[Row]:
        """A shard's side-car, held against its record."""
        path = self._path(shard, "parquet")
        data = path.read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != done.sha256:
            raise ValueError(
                f"{path} has the hash {found} but its record says {done.sha256}; "
                f"delete {path.with_suffix('.done')} and run again"
            )
        return decode_rows(data)

    def attempts(self, shard: Shard) -> list[str]:
        """Why each try at this shard failed."""
        try:
            return [*map(str, read_record(self._path(shard, "attempts")).get("failures", ()))]
        except FileNotFoundError:
            return []

    def note(self, shard: Shard, failure: str) -> None:
        """One more failed try."""
        failures = [*self.attempts(shard), failure]
        self._write(shard, "attempts", encode({"shard": shard.id, "failures": failures}))

    def forgive(self, shard: Shard) -> None:
        """Once a shard is done, nobody needs to know how often it was tried."""
        _remove(self._path(shard, "attempts"))

    def reopen(self, shard: Shard) -> None:
        """Let a shard be done again, as if it had never been tried."""
        _remove(self._path(shard, "done"))
        _remove(self._path(shard, "attempts"))

    @property
    def _settings(self) -> Path:
        return self.folder / "settings.json"

    def _current(self) -> Record:
        """The settings, if we know how to go on with them."""
        record = read_record(self._settings)
        if (found := record.get("format", 1)) != FORMAT:
            raise ValueError(
                f"{self.folder} was begun by another version of chiasm: its side-cars are of format {found}, and this "
                f"version reads and writes {FORMAT}; go on with that version, or plan the source into a new folder"
            )
        if lacking := {field.name for field in fields(Settings)} - record.keys():
            raise ValueError(f"{self._settings} is damaged: it lacks {', '.join(sorted(lacking))}")
        return record

    def _done(self, shard: Shard) -> Done | None:
        """What the record says; a damaged one says nothing, so that the shard is done again."""
        try:
            done = read_as(Done, self._path(shard, "done"))
        except ValueError as error:
            LOG.warning("%s; until then the shard counts as not done", error)
            return None
        matching = (done.fingerprint, done.settings) == (shard.fingerprint, self.fingerprint)
        return done if matching else None

    def _path(self, shard: Shard, kind: str) -> Path:
        return self.folder / f"{shard.name}.{kind}"

    def _write(self, shard: Shard, kind: str, data: bytes) -> None:
        write_atomic(self._path(shard, kind), data, writer=self.part.name)


def weights_of(model: str) -> str | None:
    """A hash of the weights on disk, since a folder keeps its name when it is trained again; None for a hub id."""
    place = Path(model)
    if not place.exists():
        return None
    files = [place] if place.is_file() else sorted(file for kind in WEIGHTS for file in place.rglob(kind))
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def _remove(path: Path) -> None:
    with writing(path):
        path.unlink(missing_ok=True)
