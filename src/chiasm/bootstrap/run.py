"""Do the shards that are not done; the same command again goes on."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chiasm.bootstrap.crew import alone, together
from chiasm.bootstrap.describe import Loader
from chiasm.bootstrap.manifest import Opener, Shard
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Status
from chiasm.bootstrap.store import Store
from chiasm.bootstrap.worker import Job
from chiasm.core.errors import unknown
from chiasm.data.sources import open_source

QUARANTINED = "quarantined"  # the status of a shard that is not done although it was tried
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
    opened: Opener = open_source,
    progress: Progress | None = None,
) -> Summary:
    """Caption and judge every pair of a planned folder.

    `load` makes a `Captioner` or a `Matcher` of a name in the settings; with several workers it
    must be a function that other processes can import. Models are not loaded when nothing is left
    to do. A shard that failed `attempts` times, in this run or before it, is quarantined: the run
    goes on without it and `Summary.quarantined` names it. A full disk stops the run with an
    `OutputError`.
    """
    for name, value in (("workers", workers), ("attempts", attempts)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but is {value}")
    store = Store(folder)
    store.begin(settings)
    store.tidy()
    queue = _Queue(store, attempts, progress)
    if len(queue):
        crew = alone if workers == 1 else together(workers)
        crew(Job(folder=folder, settings=settings, load=load, opened=opened), queue)
    store.tidy()
    return summary(folder)


def summary(folder: Path) -> Summary:
    """How far a run is."""
    store = Store(folder)
    finished = dict(store.finished())
    statuses = Counter[str]()
    for done in finished.values():
        statuses.update(done.statuses)
    shards = store.manifest.shards
    tried = tuple(shard.id for shard in shards if shard not in finished and store.attempts(shard))
    return Summary(shards=len(shards), done=len(finished), quarantined=tried, statuses=dict(sorted(statuses.items())))


def retry(folder: Path, status: str) -> int:
    """Let the next run do again each shard that has a row of this status, or is `quarantined`; how many.

    Good rows of such a shard come out as they were.
    """
    if status not in (known := [*(one.value for one in Status), QUARANTINED]):
        raise unknown("status", status, known)
    store = Store(folder)
    finished = dict(store.finished())
    if status == QUARANTINED:
        chosen = [shard for shard in store.manifest.shards if shard not in finished and store.attempts(shard)]
    else:
        chosen = [shard for shard, done in finished.items() if done.statuses.get(status)]
    for shard in chosen:
        store.reopen(shard)
    return len(chosen)


class _Queue:
    """Shards to do, and what came of them."""

    def __init__(self, store: Store, attempts: int, progress: Progress | None) -> None:
        self.store, self.attempts, self.progress = store, attempts, progress
        shards = store.manifest.shards
        open_ones = [shard for shard in shards if not store.done(shard)]
        self.waiting = deque(shard for shard in open_ones if len(store.attempts(shard)) < attempts)
        self.settled, self.total = len(shards) - len(self.waiting), len(shards)
        self._tell()

    def __len__(self) -> int:
        return len(self.waiting)

    def take(self) -> Shard | None:
        return self.waiting.popleft() if self.waiting else None

    def settle(self, shard: Shard, failure: str) -> None:
        # a worker may die with its shard just done
        if failure and not self.store.done(shard):
            self.store.note(shard, failure)
            if len(self.store.attempts(shard)) < self.attempts:
                self.waiting.append(shard)
                return
        self.settled += 1
        self._tell()

    def _tell(self) -> None:
        if self.progress:
            self.progress(self.settled, self.total)
