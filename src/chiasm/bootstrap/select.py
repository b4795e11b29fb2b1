"""What CapFilt keeps: metadata decides, in seconds and without a model; pictures are copied as they are."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any

from chiasm.bootstrap.manifest import Opener, Shard
from chiasm.bootstrap.pinned import Record, encode, fingerprint, pin
from chiasm.bootstrap.policy import POLICIES, Choice, Keep, Origin, Policy, choose
from chiasm.bootstrap.run import Progress
from chiasm.bootstrap.standards import Looks
from chiasm.bootstrap.store import Done, Store
from chiasm.core.errors import MediaError
from chiasm.core.files import read_record, write_atomic
from chiasm.data.pairs import Pair, Source, Stored
from chiasm.data.sources import open_source
from chiasm.data.writers import Form, encoded

BOTH = POLICIES["both"]


class Selection:
    """The kept pairs as a `Source`, straight from a run folder: to train on without writing them."""

    def __init__(self, folder: Path, policy: Policy = BOTH, *, opened: Opener = open_source) -> None:
        store = _told(Store(folder), policy)
        self.source = store.manifest.open(opened)
        finished = dict(store.finished())
        copies = _copies(store, finished, policy)
        self.choices = [
            choice
            for shard, done in finished.items()
            for choice in choose(store.rows(shard, done), shard, policy)
            if choice.index not in copies
        ]
        self._fingerprint = fingerprint(_record(policy) | {"sidecars": [done.sha256 for done in finished.values()]})

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
    copies: int  # pictures that were left out since they look like another one
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
    store = _told(Store(folder), policy)
    pin(out / "selection.json", _record(policy) | {"form": form.value, "source": store.manifest.fingerprint})
    source = store.manifest.open(opened)
    finished = dict(store.finished())
    copies = _copies(store, finished, policy)
    counts, unreadable = Counter[str](), 0
    for settled, (shard, done) in enumerate(finished.items(), 1):
        place = out / f"{shard.name}.{form.value}"
        pairs = _Pairs(store, shard, done, policy, source, copies)
        record = _written(place, pairs) or _write(place, form, pairs)
        counts.update(record["pairs"])
        unreadable += record["unreadable"]
        if progress:
            progress(settled, len(finished))
    missing = tuple(shard.id for shard in store.manifest.shards if shard not in finished)
    return Kept(pairs=dict(counts), copies=len(copies), unreadable=unreadable, missing=missing)


def _told(store: Store, policy: Policy) -> Store:
    """The run, if it looked at all that the policy asks about."""
    settings = store.settings  # or it was never run
    if policy.standards.languages and not settings["languages"]:
        raise ValueError(
            f"texts in {', '.join(policy.standards.languages)} are asked for, but {store.folder} was run without "
            "telling languages; plan and run with --languages into a new folder"
        )
    return store


def _copies(store: Store, finished: Mapping[Shard, Done], policy: Policy) -> Set[int]:
    """Rows that leave because their picture is there already, among those of which something would be kept."""
    if policy.copies is Keep.ALL:
        return frozenset()
    looks = Looks()
    for shard, done in finished.items():
        for index, choices in groupby(choose(store.rows(shard, done), shard, policy), key=lambda one: one.index):
            looks.add(index, next(choices).row)
    return looks.copies()


@dataclass
class _Pairs:
    """The kept pairs of one shard, counted while they are read, each picture once."""

    store: Store
    shard: Shard
    done: Done
    policy: Policy
    source: Source
    copies: Set[int]
    counts: Counter[str] = field(default_factory=Counter[str])
    unreadable: int = 0

    @property
    def origin(self) -> Record:
        """All that decides what is here: the side-car, and which of its pictures are elsewhere too."""
        copies = [index for index in range(self.shard.start, self.shard.stop) if index in self.copies]
        return {"sidecar": self.done.sha256, "copies": copies}

    def __iter__(self) -> Iterator[Pair]:
        choices = choose(self.store.rows(self.shard, self.done), self.shard, self.policy)
        for index, texts in groupby(choices, key=lambda choice: choice.index):
            if index in self.copies:
                continue
            kept = list(texts)
            try:
                picture = encoded(self.source[index].image)
            except MediaError:
                self.unreadable += len(kept)
                continue
            for choice in kept:
                self.counts[choice.origin.name.lower()] += 1
                yield pair_of(choice, picture)


def _written(place: Path, pairs: _Pairs) -> Record | None:
    """The record of an output shard, if these are its pairs and none was left out."""
    path = place.with_suffix(".done")
    if not (path.exists() and place.exists()):
        return None
    record = read_record(path)
    whole = record.keys() >= {"pairs", "unreadable"}
    return record if whole and pairs.origin.items() <= record.items() and not record["unreadable"] else None


def _write(place: Path, form: Form, pairs: _Pairs) -> Record:
    """One output shard, then its record."""
    form.write(pairs, place)
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = dict(pairs.origin) | {
        "shard": pairs.shard.id,
        "pairs": dict(pairs.counts),
        "unreadable": pairs.unreadable,
        "sha256": digest,
    }
    write_atomic(place.with_suffix(".done"), encode(record))
    return record


def pair_of(choice: Choice, image: Stored) -> Pair:
    """A picture with a text that stays; the id says whose text it is, the tags how well it fits."""
    tags: dict[str, Any] = json.loads(choice.row.tags)
    pair = Pair(choice.row.id, image, choice.text, tags)
    if choice.origin is Origin.HUMAN:
        return pair
    about = {"origin": choice.origin.name.lower(), "itm": choice.itm}
    if choice.origin is Origin.SYNTHETIC:
        tags.pop("noise", None)  # was said of the web's text
        if prompt := choice.row.synthetic[choice.said].prompt:
            about["prompt"] = prompt
    return replace(pair, id=choice.name, tags=tags | about)


def _record(policy: Policy) -> dict[str, Any]:
    return asdict(policy, dict_factory=lambda items: {name: _plain(value) for name, value in items})


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value
