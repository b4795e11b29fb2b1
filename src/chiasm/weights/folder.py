"""A model folder: `config.json`, `model.safetensors`, `tokenizer.json`, and for some the Q-Formers' tokenizer too.

A run folder holds runs, `1-pretrain`, `2-caption`, ..., each with a model folder once it is finished.
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from chiasm.core.config import from_json, read_as, to_json
from chiasm.core.files import new_folder, read_record, writing
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.weights.state import assign, moved, state

FORMAT = 1
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
HINTS = "qformer_tokenizer"  # the folder of the Q-Formers' own, as in transformers
KINDS = {"system": str, "preset": str, "config": dict, "pixels": dict}  # what config.json must hold
PIECE = 64 << 20  # bytes that are converted at once
FILLING = {
    nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.constant_, F.normalize,
    Tensor.normal_, Tensor.uniform_, Tensor.erfinv_, Tensor.clamp_, Tensor.zero_, Tensor.fill_,
    Tensor.clamp, Tensor.neg, Tensor.exp,
}  # fmt: skip
MODEL, DONE = "model", "done.json"  # of a run: its model folder, and what it writes last


@runtime_checkable
class Tokenizer(Protocol):
    """All that a folder needs of a tokenizer."""

    def save(self, path: Path) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model is: where it comes from, how to build it, how it wants its pictures."""

    system: str
    preset: str
    config: Config
    pixels: Pixels


def save_model(
    folder: Path, module: nn.Module, card: ModelCard, tokenizer: Tokenizer | None, hints: Tokenizer | None = None
) -> None:
    """Write a model folder; it appears whole or not at all, and replaces an older one.

    `hints` is the Q-Formers' tokenizer, where it is another one.
    """
    about = {
        "format": FORMAT,
        "system": card.system,
        "preset": card.preset,
        "config": to_json(card.config),
        "pixels": to_json(card.pixels),
    }
    values = {name: tensor.contiguous() for name, tensor in state(module).items()}
    data = safetensors.torch.save(values, metadata={"format": "pt"})
    with new_folder(folder) as inside, writing(folder):
        (inside / CONFIG).write_text(json.dumps(about, indent=2) + "\n")
        (inside / WEIGHTS).write_bytes(data)
        save_words(inside, tokenizer, hints)


def save_words(folder: Path, tokenizer: Tokenizer | None, hints: Tokenizer | None) -> None:
    """The tokenizers that are there, each in its place."""
    if tokenizer is not None:
        tokenizer.save(folder / TOKENIZER)
    if hints is not None:
        (folder / HINTS).mkdir()
        hints.save(folder / HINTS / TOKENIZER)


def load_model(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[nn.Module, ModelCard]:
    """The module of a model folder, in eval mode, and its card; `dtype=None` keeps the file's."""
    card = read_card(folder)
    try:
        module = skeleton(card.config)
    except (RuntimeError, ArithmeticError, AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} describes what cannot be built: {error}") from error
    assign(module, read_tensors(folder / WEIGHTS, dtype), source=folder / WEIGHTS)
    return moved(module, device=device, dtype=dtype).eval(), card


def read_card(folder: Path) -> ModelCard:
    """What `config.json` says, which is everything but the weights."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} is no model folder: it has no {CONFIG}")
    about = read_record(path)
    if about.get("format") != FORMAT:
        raise ValueError(f"{path} has format {about.get('format')}, but this version of chiasm reads format {FORMAT}")
    if lacking := KINDS.keys() - about.keys():
        raise ValueError(f"{path} lacks {', '.join(sorted(lacking))}")
    if odd := [name for name, kind in KINDS.items() if type(about[name]) is not kind]:
        raise ValueError(f"{path} is damaged: {odd[0]} cannot be {about[odd[0]]!r}")
    try:
        config, pixels = from_json(about["config"]), read_as(Pixels, about["pixels"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged, or of another version of chiasm: {error}") from error
    builds = isinstance(config, Config)
    if not builds:
        raise ValueError(f"{path}: {about['config']['type']} describes no module")
    return ModelCard(system=about["system"], preset=about["preset"], config=config, pixels=pixels)


def read_tensors(path: Path, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped into memory rather than read, unless they change their `dtype`."""
    try:
        return in_dtype(lambda: safetensors.torch.load_file(path), dtype)
    except FileNotFoundError:
        raise ValueError(f"{path.parent} is no model folder: it has no {path.name}") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def in_dtype(mapped: Callable[[], dict[str, Tensor]], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """What `mapped` gives, numbers with a point in `dtype`.

    A page of a file that was read stays in memory as long as the file is mapped. So the file is mapped
    again for every `PIECE`, and what stays is little more than the result.
    """
    tensors = mapped()
    if dtype is None or all(value.dtype == dtype for value in tensors.values() if value.is_floating_point()):
        return tensors
    ends = accumulate(value.nbytes for value in tensors.values())
    parts = groupby(list(zip(tensors, ends, strict=True)), key=lambda each: each[1] // PIECE)
    del tensors
    found: dict[str, Tensor] = {}
    for _, part in parts:
        found |= _converted(mapped(), [name for name, _ in part], dtype)
    return found


def _converted(values: Mapping[str, Tensor], names: Sequence[str], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: values[name].to(dtype if values[name].is_floating_point() else None, copy=True) for name in names}


def is_ours(path: Path) -> bool:
    """Whether a path is for `last_finished`, a model folder or one of runs; what others publish is not."""
    if path.is_file():
        return False
    if (path / CONFIG).is_file():
        return "format" in read_record(path / CONFIG)
    return not any(file.suffix in {".safetensors", ".bin", ".pth"} for file in path.iterdir())


def last_finished(folder: Path) -> Path:
    """The model folder that `folder` stands for: itself, or that of its last finished run."""
    if (folder / CONFIG).is_file():
        return folder
    runs = [folder, *sorted(_runs(folder), key=_number)]
    finished = [run / MODEL for run in runs if (run / DONE).is_file()]
    if finished:
        return finished[-1]
    begun = ", ".join(run.name for run in runs[1:])
    what = (
        f"its runs ({begun}) are not finished: start the same training again"
        if begun
        else f"it holds neither {CONFIG} nor a run"
    )
    raise ValueError(f"{folder} has no model yet: {what}")


def _runs(folder: Path) -> list[Path]:
    return [path for path in folder.glob("[0-9]*-*") if path.is_dir()]


def _number(run: Path) -> int:
    return int(run.name.partition("-")[0])


def skeleton(config: Config) -> nn.Module:
    """The module without its weights, which are about to come; the caller's random state is kept."""
    module = outline(config)
    if {name for name, _ in (*module.named_parameters(), *module.named_buffers())} <= state(module).keys():
        return module
    with torch.random.fork_rng(devices=[]):  # buffers that no file holds must be computed, and what is lent brought
        return config.build()


def outline(config: Config) -> nn.Module:
    """The module without its tensors' memory."""
    with without_memory():
        return config.build()


@contextmanager
def without_memory() -> Generator[None]:
    """What is made within has shapes and no values."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Nothing is computed of tensors without memory: torch would import its compiler for that, which takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func in FILLING:
            return args[0] if args else given["tensor"]
        return INSTEAD.get(func, func)(*args, **given)


def _norms(vectors: Tensor, _power: int, dim: int) -> Tensor:
    return vectors.new_empty([size if axis == dim else 1 for axis, size in enumerate(vectors.shape)])


INSTEAD: Mapping[Any, Callable[..., Tensor]] = {torch.randn: torch.empty, torch.norm_except_dim: _norms}
