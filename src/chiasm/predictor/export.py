"""Models in the form that others read: a folder for `transformers` or OpenCLIP, or a file as OpenAI and LAVIS have."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from chiasm.core.config import to_json
from chiasm.core.dialect import Found, Layout, Rule, Tied
from chiasm.core.errors import unknown
from chiasm.core.files import new_folder, writing
from chiasm.data.text import Tokenizer
from chiasm.predictor import onnx
from chiasm.predictor.catalogue import systems
from chiasm.predictor.eyes import PREPROCESSOR, PROCESSOR, write_eyes
from chiasm.predictor.processor import NoProcessorError, processor
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import Tokenizer as Saved
from chiasm.weights.folder import save_model, save_words
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

OWN, ONNX = "chiasm", "onnx"
# what a config says of training alone; eps, in which the files of one model differ: docs/weights.md; and a token that
# nothing here reads
LEARNING = {"dropout", "drop_path", "std", "smoothing", "prompt", "eps", "ramp", "trust", "momentum", "image_token"}


def export(model: Predictor, folder: str | Path, *, format: str = "hf", overwrite: bool = False) -> Path:  # noqa: A002 a public name
    """Write `model` to `folder`, whole or not at all: as `transformers` (hf), LAVIS (lavis) or chiasm has it.

    CLIP can also be had as openai and openclip. As "onnx" it is graphs for other runtimes (`predictor/onnx.py`), which
    nothing here reads back. A graph that the format has no class for raises and lists the formats that do.
    """
    place = Path(folder)
    if place.exists() and not overwrite and (place.is_file() or any(place.iterdir())):
        raise ValueError(f"{place} exists: choose another folder, or pass overwrite=True to replace it")
    with model.plain() as module:
        if format == OWN:
            save_model(place, module, model.card, *_words(model))
        elif format == ONNX:
            onnx.require()
            with new_folder(place) as inside, writing(place):
                onnx.write(model, inside)
                _json(inside / PREPROCESSOR, write_eyes(model.processor.pixels))
                _beside(inside, _card(model, format), *_words(model))
        else:
            _write(model, _layout(model, format), place)
    return place


def _layout(model: Predictor, format: str) -> Layout:  # noqa: A002 as above
    fitting = [
        one for one in systems()[model.system].layouts if one.graph is type(model.config) and one.holds(model.config)
    ]
    for layout in fitting:
        if layout.format == format:
            return layout
    offered = [*dict.fromkeys(one.format for one in fitting), OWN, ONNX]
    known = {one.format for system in systems().values() for one in system.layouts}
    if format not in known:
        raise unknown("format", format, offered)
    raise ValueError(
        f"format {format!r} has no class for {model.system}'s {type(model.config).__qualname__.partition('.')[0]}; "
        f"it can be written as {', '.join(offered)}"
    )


def _write(model: Predictor, layout: Layout, folder: Path) -> None:
    about, tensors = layout.write(model.config), _tensors(model, layout.rules_for(model.config))
    shapes = {name: tuple(one.shape) for name, one in tensors.items()}
    _require_same(model.config, layout, Found(config=about, shapes=shapes))
    with new_folder(folder) as inside, writing(folder):
        if about:
            _write_described(model, layout, about, inside)
        else:
            torch.save({layout.inside: tensors} if layout.inside else tensors, inside / f"{layout.format}.pth")
            _beside(inside, _card(model, layout.format), *_words(model))


def _beside(folder: Path, card: str, words: Saved | None, hints: Saved | None) -> None:
    """What goes with weights of any form."""
    (folder / "README.md").write_text(card)
    save_words(folder, words, hints)


def _words(model: Predictor) -> tuple[Tokenizer | None, Tokenizer | None]:
    """The tokenizers that are at hand."""
    return model.tokenizer if model.has_tokenizer else None, model.hints


def _require_same(config: Any, layout: Layout, written: Found) -> None:
    """Raise where whoever reads what is `written` would take the model to be another."""
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
    if not layout.fits(written):
        raise ValueError(f"format {layout.format!r} cannot hold this model: it would be taken for something else")


def _facts(said: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """All that a config says of what a model does, by path."""
    for name, value in said.items():
        parts = dict(enumerate(value)) if isinstance(value, list) else {"": value}
        if any(isinstance(part, Mapping) for part in parts.values()):
            for place, part in parts.items():
                yield from _facts(part, f"{above}{name}{place}.")
        elif name not in LEARNING:
            yield above + name, value


def _write_described(model: Predictor, layout: Layout, about: Mapping[str, Any], inside: Path) -> None:
    """Tensors, and a config that says what they are."""
    config, weights = layout.files
    once = [
        rule for rule in layout.rules_for(model.config) if not isinstance(rule, Tied)
    ]  # safetensors holds no tensor twice
    safetensors.torch.save_file(_tensors(model, once), inside / weights, metadata={"format": "pt"})
    if layout.eyes is None:
        _write_read(model, layout, about, inside)
    else:
        _json(inside / config, {**about, **layout.eyes.write(model.processor.pixels)})
        _beside(inside, _card(model, layout.format), *_words(model))


def _write_read(model: Predictor, layout: Layout, about: Mapping[str, Any], inside: Path) -> None:
    """A config, and what reads pictures and words before it: a processor of transformers, where all of it is here."""
    card, (words, hints) = _card(model, layout.format), _words(model)
    try:
        found = processor(model.config, about, words, hints)
    except NoProcessorError as error:
        card += f"\nThere is no processor of transformers' beside the weights: {error}.\n"
    else:
        about, words, hints = found.about, found.words, found.hints
        _json(inside / PROCESSOR, found.said)
    config, _ = layout.files
    _json(inside / config, {**about, "dtype": str(model.dtype).removeprefix("torch.")})
    _json(inside / PREPROCESSOR, write_eyes(model.processor.pixels))
    _beside(inside, card, words, hints)


def _tensors(model: Predictor, rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Each as a file holds it: one row after the other."""
    found = untranslate(state(model.module), rules, source=f"the {model.system} model")
    return {name: value.contiguous() for name, value in found.items()}


def _json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")


def _card(model: Predictor, form: str) -> str:
    """A model card that claims no more than is known."""
    paper = systems()[model.system].paper
    parameters = sum(weight.numel() for weight in model.module.parameters())
    return (
        f"# {model.system}/{model.preset}\n\n"
        f"Exported by Chiasm (Apache-2.0) in the format `{form}`. {parameters:,} parameters, "
        f"{model.dtype}; pictures of {model.processor.pixels.size} pixels. Paper: {paper}.\n\n"
        "The licence of the weights is that of whatever they were trained from (BLIP, ALBEF and LAVIS are published "
        "under BSD-3-Clause, CLIP under MIT): check before you publish.\n"
    )
