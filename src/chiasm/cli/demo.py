"""`chiasm demo`: BLIP's experiment in miniature, with its progress."""

import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from chiasm.cli.errors import one_line
from chiasm.cli.progress import progress
from chiasm.demo.experiment import run
from chiasm.demo.options import DemoOptions
from chiasm.demo.pool import Event


def demo(asked: DemoOptions) -> None:
    """Do what is not done of it, and say where everything lies."""
    with _ending_well(), progress() as tell:

        def on_event(event: Event) -> None:
            tell(f"seed {event.seed}: {event.name}", event.step, event.steps, "")

        def on_note(note: str) -> None:
            print(one_line(note), file=sys.stderr, flush=True)

        report = run(asked, on_event, on_note)
    print(f"report: {report}")
    print(f"models: {asked.out / 'seed-0'}/*, each of them a MODEL for chiasm caption, match, classify and embed")
    print(f"try:    chiasm caption {asked.out / 'seed-0' / 'train-both'} {asked.out / 'pictures'}")


@contextmanager
def _ending_well() -> Generator[None]:
    """SIGTERM as an exit, so that the workers end too, and nothing of them is left behind."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
