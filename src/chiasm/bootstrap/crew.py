"""Shards go out by number, reports come back; a worker that dies is noticed and replaced."""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Protocol, runtime_checkable

from chiasm.bootstrap.manifest import Shard
from chiasm.bootstrap.worker import Job, Report, Worker, serve, threads


@runtime_checkable
class Queue(Protocol):
    """What there is to do."""

    def __len__(self) -> int: ...

    def take(self) -> Shard | None:
        """The next shard, if there is one."""
        ...

    def settle(self, shard: Shard, failure: str) -> None:
        """A shard came back; one that failed may be taken again."""
        ...


Crew = Callable[[Job, Queue], None]


def alone(job: Job, queue: Queue) -> None:
    """One worker, in this process."""
    with threads(job.settings.threads):
        worker = Worker(job)
        while shard := queue.take():
            queue.settle(shard, worker.attempt(shard))


def together(workers: int) -> Crew:
    """So many workers, each in a process of its own."""

    def work(job: Job, queue: Queue) -> None:
        hands: list[_Hand] = []
        try:
            while hands or len(queue):
                while len(hands) < workers and sum(hand.idle for hand in hands) < len(queue):
                    hands.append(_Hand(job))
                ready = wait([hand.connection for hand in hands])
                hands = [hand for hand in hands if hand.connection not in ready or hand.listen(queue)]
        finally:
            for hand in hands:
                hand.process.kill()
                hand.leave()

    return work


class _Hand:
    """The parent's end of a worker process."""

    def __init__(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, job), daemon=True)
        self.process.start()
        theirs.close()  # or its death would not be heard
        self.ready = False
        self.shard: Shard | None = None

    @property
    def idle(self) -> bool:
        return self.shard is None

    def listen(self, queue: Queue) -> bool:
        """Take a report and hand out the next shard; False when this worker is finished."""
        try:
            report = self.connection.recv()
        except (EOFError, ConnectionError):
            self._died(queue)
            return False
        self._heard(report, queue)
        self.shard = queue.take()
        with suppress(ConnectionError):  # dead already: the next `recv` says so
            self.connection.send(self.shard)
        if self.idle:
            self.leave()
        return not self.idle

    def leave(self) -> None:
        self.process.join()
        self.connection.close()

    def _heard(self, report: Report, queue: Queue) -> None:
        if report.stop:
            raise report.stop
        if self.shard:
            queue.settle(self.shard, report.failure)
        self.ready = True

    def _died(self, queue: Queue) -> None:
        self.leave()
        code = self.process.exitcode
        if not self.ready:
            raise ChildProcessError(
                f"a worker process died (exit code {code}) before it was ready; "
                "is there memory for so many models? Fewer workers need less"
            )
        if self.shard:
            queue.settle(self.shard, f"the worker process died (exit code {code})")
