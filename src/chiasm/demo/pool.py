"""Steps on several processes: each starts as soon as what it needs is done."""

import multiprocessing
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from multiprocessing.queues import SimpleQueue
from threading import Thread

import torch

from chiasm.core.processes import follow_parent
from chiasm.demo.options import DemoOptions
from chiasm.demo.steps import Place, do, jobs
from chiasm.training.memory import keep_memory

Key = tuple[int, str]  # seed, step


@dataclass(frozen=True)
class Event:
    """News of a step: how far it is; at `steps` of `steps` it is done."""

    seed: int
    name: str
    step: int
    steps: int


_news: "SimpleQueue[Event | None] | None" = None  # of a worker process, set when it starts


def work(options: DemoOptions, on_event: Callable[[Event], None]) -> None:
    """Do every step of every seed that is not done yet; the first error stops all."""
    needs = _graph(options)
    context = multiprocessing.get_context("spawn")
    news: SimpleQueue[Event | None] = context.SimpleQueue()
    listener = Thread(target=_listen, args=(news, on_event), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(options.workers, mp_context=context, initializer=_begin, initargs=(news,))
    try:
        _run(pool, options, TopologicalSorter(needs))
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        news.put(None)
        listener.join()


def _graph(options: DemoOptions) -> Mapping[Key, list[Key]]:
    steps = jobs(options).values()
    return {(seed, job.name): [(seed, need) for need in job.needs] for job in steps for seed in range(options.seeds)}


def _run(pool: ProcessPoolExecutor, options: DemoOptions, order: "TopologicalSorter[Key]") -> None:
    order.prepare()
    ready: list[Key] = []
    running: dict[Future[None], Key] = {}
    while order.is_active():
        ready = sorted([*ready, *order.get_ready()], key=lambda key: key[0])  # one seed after the other
        if done := [(seed, name) for seed, name in ready if Place(options, seed).finished(name)]:
            order.done(*done)
            ready = [key for key in ready if key not in done]
            continue
        while ready and len(running) < options.workers:
            seed, name = ready.pop(0)
            running[pool.submit(_do, options, seed, name)] = (seed, name)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            future.result()
            order.done(running.pop(future))


def _begin(news: "SimpleQueue[Event | None]") -> None:
    """One core, and no life without the parent."""
    global _news  # noqa: PLW0603 - how a pool hands its processes something
    _news = news
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow_parent()
    torch.set_num_threads(1)
    keep_memory()


def _do(options: DemoOptions, seed: int, name: str) -> None:
    def told(step: int, steps: int) -> None:
        if _news is not None:
            _news.put(Event(seed, name, step, steps))

    told(0, 1)
    do(options, seed, name, told)
    told(1, 1)


def _listen(news: "SimpleQueue[Event | None]", on_event: Callable[[Event], None]) -> None:
    while (event := news.get()) is not None:
        on_event(event)
