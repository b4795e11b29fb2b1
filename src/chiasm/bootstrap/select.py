"""What CapFilt keeps: metadata decides, in seconds and without a model; pictures are copied as they are."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from chiasm.bootstrap.manifest import Opener, Shard
from chiasm.bootstrap.pinned import Record, encode, fingerprint, pin
from chiasm.bootstrap.policy import POLICIES, Choice, Origin, Policy, choose
from chiasm.bootstrap.run import Progress
from chiasm.bootstrap.store import Done, Store
from chiasm.core.errors import MediaError
from chiasm.core.files import write_atomic
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import open_source
from chiasm.data.writers import Form, encoded

BOTH = POLICIES["both"]


class Selection:
    """The kept pairs as a `Source`, straight from a run folder: to train on without writing them."""

    def __init__(self, folder: Path, policy: Policy = BOTH, *, opened: Opener = open_source) -> None:
        store = Store(folder)
        self.source = store.manifest.open(opened)
        finished = tuple(store.finished())
        self.choices = [choice for shard, done in finished for choice in choose(store.rows(shard, done), shard, policy)]
        self._fingerprint = fingerprint(_record(policy) | {"sidecars": [done.sha256 for _, done in finished]})

    def __len__(self) -> int:
        return len(self.choices)

    def __getitem__(self, index: int) -> Pair:
        choice = self.choices[index]
        return pair_of(choice, self.source[choice.index].image)

    @property
    def fingerprint(self) -> str:
        """Of the side-cars and the policy."""
        return self._fingerprint


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a selection came to."""

    pairs: Mapping[str, int]  # by origin
    unreadable: int  # chosen pairs whose picture could not be read; the next call tries them again
    missing: tuple[int, ...]  # shards that are not done, so nothing is here of them


def select(
    folder: Path,
    out: Path,
    policy: Policy = BOTH,
    *,
    form: Form = Form.PARQUET,
    opened: Opener = open_source,
    progress: Progress | None = None,
) -> Kept:
    """Write the kept pairs of a run, a file a shard; the same command again goes on where it stopped.

    As in `run`, a `.done` record follows the file that it vouches for. Shards that `run` finishes
    later are added by the next call.
    """
    store = Store(folder)
    pin(out / "selection.json", _record(policy) | {"form": form.value, "source": store.manifest.fingerprint})
    source = store.manifest.open(opened)
    finished = dict(store.finished())
    counts, unreadable = Counter[str](), 0
    for settled, (shard, done) in enumerate(finished.items(), 1):
        place = out / f"{shard.name}.{form.value}"
        record = _written(place, done) or _write(place, form, _Pairs(store, shard, done, policy, source))
        counts.update(record["pairs"])
        unreadable += record["unreadable"]
        if progress:
            progress(settled, len(finished))
    missing = tuple(shard.id for shard in store.manifest.shards if shard not in finished)
    return Kept(pairs=dict(counts), unreadable=unreadable, missing=missing)


@dataclass
class _Pairs:
    """The kept pairs of one shard, counted while they are read, each picture once."""

    store: Store
    shard: Shard
    done: Done
    policy: Policy
    source: Source
    counts: Counter[str] = field(default_factory=Counter[str])
    unreadable: int = 0

    def __iter__(self) -> Iterator[Pair]:
        choices = choose(self.store.rows(self.shard, self.done), self.shard, self.policy)
        for index, texts in groupby(choices, key=lambda choice: choice.index):
            kept = list(texts)
            try:
                picture = encoded(self.source[index].image)
            except MediaError:
                self.unreadable += len(kept)
                continue
            for choice in kept:
                self.counts[choice.origin.name.lower()] += 1
                yield pair_of(choice, picture)


def _written(place: Path, done: Done) -> Record | None:
    """The record of an output shard, if it was made from this side-car and nothing was left out."""
    path = place.with_suffix(".done")
    if not (path.exists() and place.exists()):
        return None
    record = json.loads(path.read_bytes())
    return record if record["sidecar"] == done.sha256 and not record["unreadable"] else None


def _write(place: Path, form: Form, pairs: _Pairs) -> Record:
    """One output shard, then its record."""
    form.write(pairs, place)
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = {
        "shard": pairs.shard.id,
        "sidecar": pairs.done.sha256,
        "pairs": dict(pairs.counts),
        "unreadable": pairs.unreadable,
        "sha256": digest,
    }
    write_atomic(place.with_suffix(".done"), encode(record))
    return record


def pair_of(choice: Choice, image: Path | bytes | np.ndarray) -> Pair:
    """A picture with a text that stays; the id says whose text it is, the tags how well it fits."""
    tags: dict[str, Any] = json.loads(choice.row.tags)
    pair = Pair(choice.row.id, image, choice.text, tags)
    if choice.origin is Origin.HUMAN:
        return pair
    if choice.origin is Origin.SYNTHETIC:
        tags.pop("noise", None)  # was said of the web's text
    about = {"origin": choice.origin.name.lower(), "itm": choice.itm}
    return replace(pair, id=f"{pair.id}#{choice.origin.value}", tags=tags | about)


def _record(policy: Policy) -> dict[str, Any]:
    return {"web": policy.web.name, "synthetic": policy.synthetic.name, "threshold": policy.threshold}
