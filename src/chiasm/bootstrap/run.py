"""Do the shards that are not done; the same command again goes on."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chiasm.bootstrap.crew import alone, together
from chiasm.bootstrap.describe import Loader
from chiasm.bootstrap.manifest import WHOLE, Opener, Part, Shard
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Status
from chiasm.bootstrap.store import Done, Standing, Store
from chiasm.bootstrap.worker import Job
from chiasm.core.errors import unknown
from chiasm.data.sources import open_source

QUARANTINED = "quarantined"  # the status of a shard that is not done although it was tried
RETRIED = (*(one.value for one in Status), QUARANTINED)
Progress = Callable[[int, int], None]  # shards settled, shards in all


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a run stands, from its records."""

    shards: int
    done: int
    quarantined: tuple[int, ...]
    statuses: Mapping[str, int]  # rows of the done shards

    @property
    def complete(self) -> bool:
        return self.done == self.shards


def run(
    folder: Path,
    settings: Settings,
    *,
    load: Loader,
    workers: int = 1,
    attempts: int = 3,
    part: Part = WHOLE,
    opened: Opener = open_source,
    progress: Progress | None = None,
) -> Summary:
    """Caption and judge every pair of a planned folder, or of one job's part of it.

    Jobs that share a folder need not know of each other: what one writes no other one does.

    `load` makes a `Captioner` or a `Matcher` of a name in the settings; with several workers it
    must be a function that other processes can import. Models are not loaded when nothing is left
    to do. A shard that failed `attempts` times, in this run or before it, is quarantined: the run
    goes on without it and `Summary.quarantined` names it. A full disk stops the run with an
    `OutputError`.
    """
    for name, value in (("workers", workers), ("attempts", attempts)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but is {value}")
    store = Store(folder, part)
    store.begin(settings)
    queue = _Queue(store, attempts, progress)
    if len(queue):
        crew = alone if workers == 1 else together(workers)
        try:
            crew(Job(folder=folder, settings=settings, part=part, load=load, opened=opened), queue)
        except ValueError:  # these models cannot do it
            store.forget()
            raise
    return queue.tally.summary()


def begin(folder: Path, settings: Settings, part: Part = WHOLE) -> None:
    """Hold a planned folder to these settings: an error if it was begun with others."""
    Store(folder, part).begin(settings)


def summary(folder: Path, part: Part = WHOLE) -> Summary:
    """How far a run is, or one job's part of it."""
    tally = _Tally()
    for one in Store(folder, part).standing():
        tally.add(one)
    return tally.summary()


def retry(folder: Path, status: str, part: Part = WHOLE) -> int:
    """Let the next run do again each shard that has a row of this status, or is `quarantined`; how many.

    Good rows of such a shard come out as they were.
    """
    if status not in RETRIED:
        raise unknown("status", status, RETRIED)
    store, opened = Store(folder, part), 0
    for shard, done, failures in store.standing():
        if done.statuses.get(status) if done else status == QUARANTINED and failures:
            store.reopen(shard)
            opened += 1
    return opened


@dataclass
class _Tally:
    """Counts of shards by how they stand, and of the rows of done ones by status."""

    shards: int = 0
    done: int = 0
    tried: set[int] = field(default_factory=set[int])
    statuses: Counter[str] = field(default_factory=Counter[str])

    def add(self, one: Standing) -> None:
        """Take a shard in."""
        self.shards += 1
        if one.done:
            self.finish(one.done)
        elif one.failures:
            self.tried.add(one.shard.id)

    def finish(self, done: Done) -> None:
        """A shard is done."""
        self.done += 1
        self.tried.discard(done.shard)
        self.statuses.update(done.statuses)

    def summary(self) -> Summary:
        return Summary(
            shards=self.shards,
            done=self.done,
            quarantined=tuple(sorted(self.tried)),
            statuses=dict(sorted(self.statuses.items())),
        )


class _Queue:
    """Shards to do, and what came of them."""

    def __init__(self, store: Store, attempts: int, progress: Progress | None) -> None:
        self.store, self.attempts, self.progress = store, attempts, progress
        self.waiting, self.tally = deque[Shard](), _Tally()
        for one in store.standing():
            self.tally.add(one)
            if one.done and one.failures:  # death came between the two
                store.forgive(one.shard)
            if not one.done and len(one.failures) < attempts:
                self.waiting.append(one.shard)
        self.settled = self.tally.shards - len(self.waiting)
        self._tell()

    def __len__(self) -> int:
        return len(self.waiting)

    def take(self) -> Shard | None:
        return self.waiting.popleft() if self.waiting else None

    def settle(self, shard: Shard, failure: str) -> None:
        if done := self.store.done(shard):  # or a worker died with its shard just done
            self.store.forgive(shard)
            self.tally.finish(done)
        else:
            self.store.note(shard, failure)
            self.tally.tried.add(shard.id)
            if len(self.store.attempts(shard)) < self.attempts:
                self.waiting.append(shard)
                return
        self.settled += 1
        self._tell()

    def _tell(self) -> None:
        if self.progress:
            self.progress(self.settled, self.tally.shards)
