"""The one place where made sources get their chance from."""

import hashlib
from random import Random


def chance(*key: object) -> Random:
    """A stream of lots that depends on its key alone: the same in every process and on every system."""
    return Random("/".join(map(str, key)))  # noqa: S311 - pictures are drawn by lot, no secrets


def share(text: str) -> float:
    """A place from 0 to 1 for every text, evenly and for ever: what decides who is held out."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
