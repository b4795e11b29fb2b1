"""Models in the form that others read: a folder for `transformers` or OpenCLIP, or a file as OpenAI and LAVIS have."""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from chiasm.core.ability import Sees
from chiasm.core.config import to_json
from chiasm.core.dialect import Found, Layout, Own, Tied
from chiasm.core.errors import unknown
from chiasm.core.files import new_folder, writing
from chiasm.data.text import Tokenizer
from chiasm.predictor import onnx
from chiasm.predictor.catalogue import systems
from chiasm.predictor.eyes import PREPROCESSOR, PROCESSOR, write_eyes
from chiasm.predictor.open import marked
from chiasm.predictor.processor import ABOUT_WORDS, NoProcessorError, processor
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import CONFIG, HINTS, TOKENIZER, WEIGHTS, is_ours, save_model, save_words
from chiasm.weights.folder import Tokenizer as Saved
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

OWN, ONNX = "chiasm", "onnx"
CARD, MADE = "README.md", "Exported by Chiasm (Apache-2.0)"
# what a config says of training alone; eps, in which the files of one model differ: docs/weights.md; and a token that
# nothing here reads
LEARNING = {"dropout", "drop_path", "std", "smoothing", "prompt", "eps", "ramp", "trust", "momentum", "image_token"}


def export(model: Predictor, folder: str | Path, *, format: str = "hf", overwrite: bool = False) -> Path:  # noqa: A002 a public name
    """Write `model` to `folder`, whole or not at all: as `transformers` (hf), LAVIS (lavis) or chiasm has it.

    CLIP can also be had as openai and openclip. As "onnx" it is graphs for other runtimes (`predictor/onnx.py`), which
    nothing here reads back. A graph that the format has no class for raises and lists the formats that do. What
    `overwrite` replaces is an earlier export, and never a folder in which anything else lies.
    """
    place = Path(folder)
    require_room(place, replace=overwrite)
    with model.plain() as module:
        if format == OWN:
            save_model(place, module, model.card, *_words(model))
        elif format == ONNX:
            onnx.require()
            with _offering(model), new_folder(place) as inside, writing(place):
                onnx.write(model, inside)
                _json(inside / PREPROCESSOR, write_eyes(model.processor.pixels))
                _beside(inside, _card(model, format), *_words(model))
        else:
            with _offering(model):
                layout = _layout(model, format)
                about, tensors = _told(model, layout, state(model.module))
            _write(model, layout, about, tensors, place)
    return place


@contextmanager
def _offering(model: Predictor) -> Generator[None]:
    """Whoever is told that a model cannot be written so is told how it can."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; it can be written as {', '.join(_forms(model))}") from error


def _forms(model: Predictor) -> list[str]:
    """All that hold this very model."""
    found, shapes = list[str](), {name: value.to("meta") for name, value in state(model.module).items()}
    for layout in _fitting(model):
        with suppress(ValueError):
            _told(model, layout, shapes)
            found.append(layout.format)
    return [*dict.fromkeys(found), OWN, *([ONNX] if isinstance(model.module, Sees) else [])]


def _fitting(model: Predictor) -> list[Layout]:
    every = systems()[model.system].layouts
    return [one for one in every if one.graph is type(model.config) and one.holds(model.config)]


def require_room(place: Path, *, replace: bool, asked: str = "overwrite=True") -> None:
    """Raise where something lies that may not be replaced: without being `asked` anything, else all but an export."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not replace:
        raise ValueError(f"{place} exists: choose another folder, or pass {asked} to replace it")
    if place.is_file():
        raise ValueError(f"{place} is a file, and an export is a folder: choose another name")
    if strange := sorted({file.relative_to(place).as_posix() for file in place.rglob("*")} - _names()):
        raise ValueError(f"{place} holds {strange[0]}, which no export wrote, so it stays: choose another folder")
    if not (_has_card(place) or ((place / CONFIG).is_file() and is_ours(place))):
        raise ValueError(f"{place} holds a model that chiasm did not export, so it stays: choose another folder")


def _names() -> set[str]:
    """All that an export may write."""
    layouts = [layout for system in systems().values() for layout in system.layouts]
    weights = {name for one in layouts for name in (*one.files, f"{one.format}.pth")}
    words = {f"{below}{name}" for below in ("", f"{HINTS}/") for name in (TOKENIZER, ABOUT_WORDS)}
    graphs = {f"{name}.onnx{more}" for name in onnx.GRAPHS for more in ("", ".data")}  # data: of 2 GB and more
    return {CONFIG, WEIGHTS, onnx.CONFIG, HINTS, PREPROCESSOR, PROCESSOR, CARD} | weights | words | graphs


def _has_card(place: Path) -> bool:
    return (place / CARD).is_file() and MADE in (place / CARD).read_text(errors="replace")


def _layout(model: Predictor, format: str) -> Layout:  # noqa: A002 as above
    for layout in _fitting(model):
        if layout.format == format:
            return layout
    known = {one.format for system in systems().values() for one in system.layouts}
    if format not in known:
        raise unknown("format", format, known | {OWN, ONNX})
    kind = type(model.config).__qualname__.partition(".")[0]
    raise ValueError(f"format {format!r} has no class for {model.system}'s {kind}")


def _told(
    model: Predictor, layout: Layout, values: Mapping[str, Tensor]
) -> tuple[Mapping[str, Any], Mapping[str, Tensor]]:
    """What is written of a model of these tensors: a config, where the form has one, and each as a file holds it.

    Raises where whoever reads that would take it to be another.
    """
    about, rules = layout.write(model.config), layout.rules_for(model.config)
    if about:  # safetensors holds no tensor twice
        rules = [rule for rule in rules if not isinstance(rule, Tied)]
    found = untranslate(values, rules, source=f"the {model.system} model")
    shapes = {name: tuple(one.shape) for name, one in found.items()}
    _require_same(model, layout, Found(config=about, shapes=shapes))
    return about, {name: value.contiguous() for name, value in found.items()}  # one row after the other


def _write(
    model: Predictor, layout: Layout, about: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path
) -> None:
    with new_folder(folder) as inside, writing(folder):
        if about:
            _write_described(model, layout, about, tensors, inside)
        else:
            torch.save(
                {layout.inside: dict(tensors)} if layout.inside else dict(tensors), inside / f"{layout.format}.pth"
            )
            _beside(inside, _card(model, layout.format, _left(model, layout)), *_words(model))


def _beside(folder: Path, card: str, words: Saved | None, hints: Saved | None) -> None:
    """What goes with weights of any form."""
    (folder / CARD).write_text(card)
    save_words(folder, words, hints)


def _words(model: Predictor) -> tuple[Tokenizer | None, Tokenizer | None]:
    """The tokenizers that are at hand."""
    return model.tokenizer if model.has_tokenizer else None, model.hints


def _require_same(model: Predictor, layout: Layout, written: Found) -> None:
    """Raise where whoever reads what is `written`, and the tokenizer beside it, would take the model to be another."""
    words, _ = _words(model)
    try:
        read = layout.read(written)
    except ValueError as error:
        raise ValueError(f"format {layout.format!r} cannot hold this model: {error}") from error
    read = read if words is None else marked(read, words)
    ours, theirs = dict(_facts(to_json(model.config))), dict(_facts(to_json(read)))
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


def _write_described(
    model: Predictor, layout: Layout, about: Mapping[str, Any], tensors: Mapping[str, Tensor], inside: Path
) -> None:
    """Tensors, and a config that says what they are."""
    config, weights = layout.files
    safetensors.torch.save_file(dict(tensors), inside / weights, metadata={"format": "pt"})
    if layout.eyes is None:
        _write_read(model, layout, about, inside)
    else:
        _json(inside / config, {**about, **layout.eyes.write(model.processor.pixels)})
        _beside(inside, _card(model, layout.format, _left(model, layout)), *_words(model))


def _write_read(model: Predictor, layout: Layout, about: Mapping[str, Any], inside: Path) -> None:
    """A config, and what reads pictures and words before it: a processor of transformers, where all of it is here."""
    card, (words, hints) = _card(model, layout.format, _left(model, layout)), _words(model)
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


def _json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")


def _left(model: Predictor, layout: Layout) -> list[str]:
    """What the form has no place for."""
    own = [rule.ours for rule in layout.rules_for(model.config) if isinstance(rule, Own)]
    return [part for part in own if any(f"{name}.".startswith(f"{part}.") for name in state(model.module))]


def _card(model: Predictor, form: str, left: Sequence[str] = ()) -> str:
    """A model card that claims no more than is known."""
    rest = f"\nThis form has no place for these, which were left out: {', '.join(left)}.\n" if left else ""
    paper = systems()[model.system].paper
    parameters = sum(weight.numel() for weight in model.module.parameters())
    return (
        f"# {model.system}/{model.preset}\n\n"
        f"{MADE} in the format `{form}`. {parameters:,} parameters, "
        f"{model.dtype}; pictures of {model.processor.pixels.size} pixels. Paper: {paper}.\n\n"
        "The licence of the weights is that of whatever they were trained from (BLIP, ALBEF and LAVIS are published "
        f"under BSD-3-Clause, CLIP under MIT): check before you publish.\n{rest}"
    )
