"""The one place where made sources get their chance from."""

from random import Random


def chance(*key: object) -> Random:
    """A stream of lots that depends on its key alone: the same in every process and on every system."""
    return Random("/".join(map(str, key)))  # noqa: S311 - pictures are drawn by lot, no secrets
