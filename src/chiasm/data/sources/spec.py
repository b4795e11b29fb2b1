"""Names of sources that are not files, `kind:preset?option=value&option=value`, and what all of them refuse."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from chiasm.core.errors import unknown
from chiasm.data.noise import Noise
from chiasm.data.sources.record import Skipped


class Made(ABC):
    """Pairs that are made when they are asked for: none is ever left out."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Nothing."""
        return ()

    def summary(self) -> str:
        """How many there are."""
        return f"{len(self)} pairs, made"


def read_spec(spec: str, options: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """The preset's name ("" for none) and the options given, each read by its own function."""
    name, _, query = spec.partition("?")
    values: dict[str, Any] = {}
    for option, text in parse_qsl(query, keep_blank_values=True):
        if option not in options:
            raise unknown("option", option, options)
        try:
            values[option] = options[option](text)
        except ValueError as error:
            raise ValueError(f"{option}={text} in {spec!r}: {error}") from error
    return name.partition(":")[2], values


def check(split: str, splits: Collection[str], *, count: int, noise: Noise | None, pixels: int) -> None:
    """Whether a made source can have them."""
    if split not in splits:
        raise unknown("split", split, splits)
    if count < 1:
        raise ValueError(f"count is {count}, and at least 1 pair is needed")
    if pixels < 1:
        raise ValueError(f"pixels is {pixels}, and the side of a picture has at least 1")
    if noise is not None and split != "train":
        raise ValueError(f"the split {split!r} is human and true; noise belongs to the split 'train'")
