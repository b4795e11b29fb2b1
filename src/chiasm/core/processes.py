"""Processes that leave nothing behind."""

import multiprocessing
import os
from multiprocessing.connection import wait
from threading import Thread


def follow_parent() -> None:
    """End this process when its parent ends, however it does: an orphan would write beside its successor."""
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
