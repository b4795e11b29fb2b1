"""How far long work is: bars on a terminal, a line for every tenth elsewhere, always on stderr."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Tell = Callable[[str, int, int, str], None]  # what is being done, how much is done, of how much, a note


@contextmanager
def progress() -> Generator[Tell]:
    """A function to tell about progress with, from any thread."""
    if sys.stderr.isatty():
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bars:
            yield _bars(bars)
    else:
        yield _lines()


def silence(_what: str, _done: int, _total: int, _note: str) -> None:
    """For work that is short, or whose output shows how far it is."""


def _bars(bars: Progress) -> Tell:
    tasks = dict[str, TaskID]()

    def tell(what: str, done: int, total: int, note: str) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, note="")
        bars.update(tasks[what], completed=done, total=total, note=note)

    return tell


def _lines() -> Tell:
    told = dict[str, int]()

    def tell(what: str, done: int, total: int, note: str) -> None:
        tenth = 10 * done // max(1, total)
        if tenth > told.get(what, -1):
            told[what] = tenth
            print(f"{what}: {done} of {total} {note}".strip(), file=sys.stderr, flush=True)

    return tell
