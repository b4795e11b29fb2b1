"""What `transformers` does with a picture, as its `preprocessor_config.json` says it, in our words and back.

`transformers` 5 saves the same inside of a `processor_config.json`, and believes that one where there are both.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from math import isclose
from pathlib import Path
from typing import Any, cast

from chiasm.core.files import read_record
from chiasm.core.types import Fit, Pixels

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
FIXED: Mapping[str, Any] = {"do_resize": True, "resample": 3, "do_rescale": True, "do_normalize": True}  # 3: bicubic


def read_eyes(folder: Path, usual: Pixels) -> Pixels:
    """Statistics and fit as the preprocessor says, if there is one; the size is the model's, of another it warns."""
    place, said = _said(folder)
    if not said:
        return usual
    for name, value in FIXED.items():
        if said.get(name, value) != value:
            raise ValueError(f"{place} asks for {name} {said[name]}, but chiasm always has {value}")
    scale = said.get("rescale_factor", 1 / 255)
    if not isinstance(scale, float) or not isclose(scale, 1 / 255, rel_tol=1e-3):  # some round it
        raise ValueError(f"{place} asks for rescale_factor {scale}, but chiasm always has 1/255")
    try:
        mean, std = said.get("image_mean", usual.mean), said.get("image_std", usual.std)
        found = replace(usual, mean=_three(mean), std=_three(std), fit=_fit(said, usual.fit))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place} is damaged, or asks for what chiasm does not do: {error}") from error
    if (sides := _sides(said.get("size"))) and usual.size not in sides:
        told = f"{place} makes pictures of {min(sides)} pixels, but the model takes {usual.size}, which is what it gets"
        warnings.warn(f"{told}: for others write their size into config.json, as image_size", stacklevel=2)
    return found


def write_eyes(pixels: Pixels) -> Mapping[str, Any]:
    """The same for `transformers`."""
    square = {"height": pixels.size, "width": pixels.size}
    match pixels.fit:
        case Fit.SQUASH:
            shape = {"image_processor_type": "BlipImageProcessor", "size": square}
        case Fit.CROP:
            crop = {"do_center_crop": True, "crop_size": square}
            shape = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": pixels.size}, **crop}
    return {
        **shape, **FIXED, "rescale_factor": 1 / 255, "image_mean": list(pixels.mean), "image_std": list(pixels.std),
        "do_convert_rgb": True,
    }  # fmt: skip


def _said(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    """The file that says something of pictures, and what it says."""
    whole, own = folder / PROCESSOR, folder / PREPROCESSOR
    inside = read_record(whole).get("image_processor") if whole.is_file() else None
    if isinstance(inside, dict):
        return whole, cast(dict[str, Any], inside)
    return own, read_record(own) if own.is_file() else {}


def _fit(said: Mapping[str, Any], usual: Fit) -> Fit:
    """Squash or crop; a size of one number means what is usual in the family."""
    size, crop = said.get("size"), said.get("crop_size") if said.get("do_center_crop", True) else None
    if len({*_sides(size), *_sides(crop)}) > 1:
        raise ValueError(f"size {size} and crop_size {crop} do not make one square")
    match size:
        case {"shortest_edge": _} if not said.get("do_center_crop", True):
            raise ValueError(f"size {size} without a crop makes no square")
        case {"shortest_edge": _}:
            return Fit.CROP
        case {"height": _, "width": _}:
            return Fit.SQUASH
        case _:
            return usual


def _sides(said: Any) -> set[Any]:
    match said:
        case None:
            return set()
        case {**sides}:
            return {*sides.values()}
        case side:
            return {side}


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
