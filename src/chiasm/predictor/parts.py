"""What a system's config says about its parts, whatever the graph around them."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol, cast, runtime_checkable

from chiasm.backbones import hf
from chiasm.core.system import Config
from chiasm.core.types import Fit, Markers, Pixels, Wording
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.nn.qformer import Words
from chiasm.nn.vit import ViT


@runtime_checkable
class Worded(Protocol):
    """The config of what has words."""

    @property
    def vocab(self) -> int: ...


@runtime_checkable
class Bounded(Worded, Protocol):
    """A text tower's config."""

    @property
    def max_len(self) -> int: ...


def pixels_of(config: Config, fit: Fit = Fit.SQUASH) -> Pixels:
    """Pictures as the vision tower wants them, with the channels' statistics that all of BLIP's line uses.

    Where there is no tower, they have no size.
    """
    size = next((part.image for part in _parts(config) if isinstance(part, ViT.Config)), 0)
    return Pixels(size=size, mean=CLIP_MEAN, std=CLIP_STD, fit=fit)


def longest_text(config: Config) -> int:
    """How many tokens the text tower has positions for, or a prompt may have; 0 where neither is."""
    wording = next((part for part in _parts(config) if isinstance(part, Wording)), None)
    lengths = (part.max_len for part in _parts(config) if isinstance(part, Bounded))
    return next(lengths, 0) if wording is None else wording.longest


def vocab_of(config: Config) -> int:
    """How many words there are; 0 where a language model of another library says it only once it is there."""
    part = next(part for part in _parts(config) if isinstance(part, Worded | hf.Config))
    return part.vocab if isinstance(part, Worded) else 0


def hints_of(config: Config) -> int:
    """How many words a Q-Former knows; as many as the model where it knows none."""
    return next((part.vocab for part in _parts(config) if isinstance(part, Words)), vocab_of(config))


def markers_of(config: Config) -> Markers | None:
    """The tokens that are not words, if the model opens or closes texts by itself."""
    return next((part for part in _parts(config) if isinstance(part, Markers)), None)


def _parts(config: Any) -> Iterator[Any]:
    yield config
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for part in cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(part):
                yield from _parts(part)
