"""Models in the form that others read: a folder that `transformers` opens, or one of LAVIS's files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from chiasm.core.config import to_json
from chiasm.core.dialect import Found, Layout, Tied
from chiasm.core.errors import unknown
from chiasm.core.files import new_folder, writing
from chiasm.core.types import Pixels
from chiasm.predictor.catalogue import systems
from chiasm.predictor.published import PREPROCESSOR
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import CONFIG, TOKENIZER, WEIGHTS, save_model
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

OWN = "chiasm"
# what a config says of training alone; and eps, in which the files of one model differ: docs/weights.md
LEARNING = {"dropout", "drop_path", "std", "smoothing", "prompt", "eps", "ramp", "trust", "momentum"}


def export(model: Predictor, folder: str | Path, *, format: str = "hf", overwrite: bool = False) -> Path:  # noqa: A002 a public name
    """Write `model` to `folder`, whole or not at all: as `transformers` (hf), LAVIS (lavis) or chiasm has it.

    A graph that the format has no class for raises and lists the formats that do.
    """
    place = Path(folder)
    if place.exists() and not overwrite and (place.is_file() or any(place.iterdir())):
        raise ValueError(f"{place} exists: choose another folder, or pass overwrite=True to replace it")
    if format == OWN:
        save_model(place, model.module, model.card, model.tokenizer if model.has_tokenizer else None)
        return place
    _write(model, _layout(model, format), place)
    return place


def _layout(model: Predictor, format: str) -> Layout:  # noqa: A002 as above
    fitting = [
        one for one in systems()[model.system].layouts if one.graph is type(model.config) and one.holds(model.config)
    ]
    for layout in fitting:
        if layout.format == format:
            return layout
    offered = [*dict.fromkeys(one.format for one in fitting), OWN]
    known = {one.format for system in systems().values() for one in system.layouts}
    if format not in known:
        raise unknown("format", format, offered)
    raise ValueError(
        f"format {format!r} has no class for {model.system}'s {type(model.config).__qualname__.partition('.')[0]}; "
        f"it can be written as {', '.join(offered)}"
    )


def _write(model: Predictor, layout: Layout, folder: Path) -> None:
    source = f"the {model.system} model"
    about, values = layout.write(model.config), state(model.module)
    tensors = untranslate(values, layout.rules, source=source)
    _require_same(
        model.config, layout, Found(config=about, shapes={name: tuple(one.shape) for name, one in tensors.items()})
    )
    with new_folder(folder) as inside, writing(folder):
        if about:
            # safetensors holds no tensor twice
            once = [rule for rule in layout.rules if not isinstance(rule, Tied)]
            single = {name: value.contiguous() for name, value in untranslate(values, once, source=source).items()}
            safetensors.torch.save_file(single, inside / WEIGHTS, metadata={"format": "pt"})
            dtype = str(model.dtype).removeprefix("torch.")
            _json(inside / CONFIG, {**about, "dtype": dtype})
            _json(inside / PREPROCESSOR, _eyes(model.processor.pixels))
        else:
            torch.save({"model": tensors}, inside / f"{layout.format}.pth")
        (inside / "README.md").write_text(_card(model, layout))
        if model.has_tokenizer:
            model.tokenizer.save(inside / TOKENIZER)


def _require_same(config: Any, layout: Layout, written: Found) -> None:
    """Raise where whoever reads what is `written` would take the model to be another."""
    if not layout.fits(written):
        raise ValueError(f"format {layout.format!r} cannot hold this model: it would be taken for something else")
    try:
        read = layout.read(written)
    except ValueError as error:
        raise ValueError(f"format {layout.format!r} cannot hold this model: {error}") from error
    ours, theirs = dict(_facts(to_json(config))), dict(_facts(to_json(read)))
    odd = [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    if odd:
        name = min(odd)
        raise ValueError(
            f"format {layout.format!r} cannot say that {name} is {ours[name]!r}: whoever reads it will take it "
            f"to be {theirs[name]!r}"
        )


def _facts(said: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """All that a config says of what a model does, by path."""
    for name, value in said.items():
        if isinstance(value, Mapping):
            yield from _facts(value, f"{above}{name}.")
        elif name not in LEARNING:
            yield above + name, value


def _eyes(pixels: Pixels) -> Mapping[str, Any]:
    """What `transformers` is to do with a picture."""
    return {
        "image_processor_type": "BlipImageProcessor", "do_resize": True, "resample": 3,
        "size": {"height": pixels.size, "width": pixels.size}, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": list(pixels.mean), "image_std": list(pixels.std), "do_convert_rgb": True,
    }  # fmt: skip


def _json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")


def _card(model: Predictor, layout: Layout) -> str:
    """A model card that claims no more than is known."""
    paper = systems()[model.system].paper
    parameters = sum(weight.numel() for weight in model.module.parameters())
    return (
        f"# {model.system}/{model.preset}\n\n"
        f"Exported by Chiasm (Apache-2.0) in the format `{layout.format}`. {parameters:,} parameters, "
        f"{model.dtype}; pictures of {model.processor.pixels.size} pixels. Paper: {paper}.\n\n"
        "The licence of the weights is that of whatever they were trained from (BLIP, ALBEF and LAVIS are published "
        "under BSD-3-Clause): check before you publish.\n"
    )
