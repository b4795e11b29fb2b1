"""Models that others published: recognised by config and names, and read into our graphs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chiasm.core.dialect import Found, Layout
from chiasm.core.files import read_record
from chiasm.core.system import Config, System
from chiasm.core.types import Pixels
from chiasm.predictor.catalogue import systems
from chiasm.predictor.parts import pixels_of
from chiasm.weights.folder import ModelCard, skeleton
from chiasm.weights.foreign import read_foreign
from chiasm.weights.state import assign
from chiasm.weights.translate import translate

PREPROCESSOR = "preprocessor_config.json"


def read_published(path: Path, dtype: torch.dtype | None = None) -> tuple[nn.Module, ModelCard]:
    """The module of a file or folder of others, in eval mode, and what it is."""
    foreign = read_foreign(path, dtype)
    name, system, layout = recognise(foreign.found, path)
    config: Config = layout.read(foreign.found)
    module = skeleton(config)
    assign(module, translate(foreign.tensors, layout.rules, source=path), source=path)
    card = ModelCard(system=name, preset=_preset(system, config), config=config, pixels=_pixels(path, config))
    return module.eval(), card


def recognise(found: Found, source: Path) -> tuple[str, System, Layout]:
    """Whose weights they are, and in which form."""
    known = list(_layouts())
    for name, system, layout in known:
        if layout.fits(found):
            return name, system, layout
    said = found.config.get("architectures") or found.config.get("model_type") or "no config.json"
    some = ", ".join(sorted(found.shapes)[:3])
    raise ValueError(
        f"{source} holds no model that chiasm knows ({said}; tensors {some}, ...); "
        f"it knows weights of {', '.join(dict.fromkeys(name for name, _, _ in known))}"
    )


def _layouts() -> Iterator[tuple[str, System, Layout]]:
    for name, system in systems().items():
        for layout in system.layouts:
            yield name, system, layout


def _preset(system: System, config: Config) -> str:
    """The preset of that very config, or "custom"."""
    return next((name for name, build in system.presets.items() if build() == config), "custom")


def _pixels(path: Path, config: Config) -> Pixels:
    """Size and statistics as the preprocessor says, if there is one beside the weights."""
    usual = pixels_of(config)
    place = (path if path.is_dir() else path.parent) / PREPROCESSOR
    if not place.is_file():
        return usual
    said = read_record(place)
    try:
        mean, std = said.get("image_mean", usual.mean), said.get("image_std", usual.std)
        return Pixels(size=usual.size, mean=_three(mean), std=_three(std))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place} is damaged: {error}") from error


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
