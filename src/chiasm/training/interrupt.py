"""Ctrl-C and SIGTERM wait for the end of a step, so that what was learned can be saved first.

signal ─ noted ─ end of the step: all processes agree, save, stop ─ the signal as it would have been

A signal may reach only one of several processes, and one that stopped alone would leave the others waiting.
"""

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

TWICE = 1.0  # seconds after which a second Ctrl-C is meant: torchrun repeats the terminal's at once


@dataclass
class Heard:
    """The signal that came, 0 for none, and when."""

    number: int = 0
    since: float = 0.0


@contextmanager
def heeding() -> Generator[Heard]:
    """Put both signals off to the end of the block; who presses Ctrl-C twice does not want to wait for it.

    What is ignored stays ignored, and other threads than the first have no say in signals.
    """
    heard = Heard()
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = [number for number, handler in usual.items() if handler not in (None, signal.SIG_IGN)]

    def hear(number: int, _: FrameType | None) -> None:
        if not heard.number:
            heard.number, heard.since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - heard.since > TWICE:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        ours.clear()
    for number in ours:
        signal.signal(number, hear)
    try:
        yield heard
    finally:
        for number in ours:
            signal.signal(number, usual[number])
        if heard.number:
            signal.raise_signal(heard.number)
