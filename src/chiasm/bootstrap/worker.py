"""Who works on a shard: a source, two models, and a place to write to."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from chiasm.bootstrap.describe import Loader, Models, describe
from chiasm.bootstrap.manifest import Opener, Part, Shard
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.store import Store
from chiasm.core.errors import AbilityError
from chiasm.core.files import OutputError
from chiasm.core.processes import follow_parent

# What pictures, models, memory and disks bring about. Other errors are mistakes in a program: they
# end a worker, which counts as a failed try, or, in a process of its own, end the run with a traceback.
FAILURES = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every worker of a run is told."""

    folder: Path
    settings: Settings
    part: Part
    load: Loader
    opened: Opener


@dataclass(frozen=True)
class Report:
    """A worker's word: ready for a shard, or why the last one failed, or why nobody can go on."""

    failure: str = ""
    stop: ValueError | OSError | None = None


class Worker:
    """Turns shards into side-cars."""

    def __init__(self, job: Job) -> None:
        self.store = Store(job.folder, job.part)
        self.settings = job.settings
        self.source = self.store.manifest.open(job.opened)
        self.models = Models(job.settings, job.load)

    def work(self, shard: Shard) -> None:
        """All of a shard, in batches that depend on nothing but the shard."""
        rows = [
            row
            for start in range(shard.start, shard.stop, self.settings.batch)
            for row in describe(
                [self.source[i] for i in range(start, min(start + self.settings.batch, shard.stop))],
                self.models,
                self.settings,
            )
        ]
        self.store.write(shard, rows, self.settings)

    def attempt(self, shard: Shard) -> str:
        """Why the shard failed, "" if it did not; what would fail for every shard is raised."""
        try:
            self.work(shard)
        except (AbilityError, OutputError):
            raise
        except FAILURES as error:
            return f"{type(error).__name__}: {error}"
        return ""


@contextmanager
def threads(count: int) -> Generator[None]:
    """Torch with that many threads: a worker in this process computes what one in its own would."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def serve(connection: Connection, job: Job) -> None:
    """A worker process: it asks for shards until there are none, and dies with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    follow_parent()
    try:
        with threads(job.settings.threads):
            _serve(connection, job)
    except (AbilityError, OutputError) as error:
        connection.send(Report(stop=error))
    except FAILURES as error:
        connection.send(Report(stop=ValueError(f"a worker could not start: {error}")))


def _serve(connection: Connection, job: Job) -> None:
    worker = Worker(job)
    connection.send(Report())
    while (shard := connection.recv()) is not None:
        connection.send(Report(failure=worker.attempt(shard)))
