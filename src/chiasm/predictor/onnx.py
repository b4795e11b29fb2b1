"""A model as ONNX graphs, for programs without Python; rows and lengths are free.

    see      images ─ seen, and its unit vector where the model compares
    read     ids, mask ─ a text's unit vector
    recall   seen ─ image_k, image_v                                       once a picture
    speak    ids, present, past_k, past_v, image_k, image_v ─ logits, past_k, past_v      once a token

`speak` reads one token a row. It begins with `past_k` and `past_v` of no tokens; `present` says of every
token so far, the new one included, whether it is one: False on the left of prompts shorter than others.
"""

import json
import logging
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.core.ability import EmbedsImages, EmbedsText, Sees, Speaks
from chiasm.core.config import to_json
from chiasm.core.types import Text
from chiasm.nn.attention import KV
from chiasm.nn.cache import Cache
from chiasm.predictor.verbs import Predictor

CONFIG = "onnx.json"
GRAPHS = ("see", "read", "recall", "speak")  # all that there may be
LARGEST = 1 << 30  # bytes of weights inside of a graph's own file; a protobuf ends at twice that
Layers = Float[Tensor, "l b h m e"]


@dataclass(frozen=True)
class Graph:
    """One file: what it computes, on which inputs, and which of their sizes are free."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, Any]]
    outputs: tuple[str, ...]


class See(nn.Module):
    """The picture side."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, ...]:
        seen = self.model.see(images)
        return (seen, self.model.embed_seen(seen)) if isinstance(self.model, EmbedsImages) else (seen,)


class Read(nn.Module):
    """The text side."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        return self.model.embed_text(Text(ids, mask))


class Recall(nn.Module):
    """What the layers that read pictures keep of one."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, seen: Float[Tensor, "b p c"]) -> tuple[Layers, Layers]:
        return _stacked(kv for kv in self.model.recall(seen).image if kv is not None)


class Speak(nn.Module):
    """A decoding step; `reads` says which layers look at the picture."""

    def __init__(self, model: Any, reads: tuple[bool, ...]) -> None:
        super().__init__()
        self.model, self.reads = model, reads

    def forward(
        self,
        ids: Int[Tensor, "b 1"],
        present: Bool[Tensor, "b u"],
        past_k: Layers,
        past_v: Layers,
        image_k: Float[Tensor, "r b h p e"],
        image_v: Float[Tensor, "r b h p e"],
    ) -> tuple[Float[Tensor, "b v"], Tensor, Tensor]:
        past = tuple(KV(k, v) for k, v in zip(past_k, past_v, strict=True))
        seen = iter(KV(k, v) for k, v in zip(image_k, image_v, strict=True))
        image = tuple(next(seen) if reads else None for reads in self.reads)
        logits, cache = self.model.speak(ids, Cache(past, image, present[:, :-1]), present[:, -1:])
        return logits, *_stacked(kv for kv in cache.past if kv is not None)


def require() -> None:
    """Raise if the packages are missing that graphs are written with."""
    if not all(map(find_spec, ("onnx", "onnxscript"))):
        raise ValueError("graphs need onnx and onnxscript: pip install 'chiasm[onnx]'")


def write(model: Predictor, folder: Path) -> None:
    """Write every graph that the model has, and what a program must know to use them."""
    with torch.no_grad(), _quiet():
        found = list(graphs(model))
        for graph in found:
            _save(graph, folder / f"{graph.name}.onnx")
    module = model.module
    speaks = {"start": module.start, "end": module.end} if isinstance(module, Speaks) else {}
    about = {
        "system": model.system,
        "preset": model.preset,
        "pixels": to_json(model.processor.pixels),
        **speaks,
        "graphs": {graph.name: {"inputs": [*graph.inputs], "outputs": [*graph.outputs]} for graph in found},
    }
    (folder / CONFIG).write_text(json.dumps(about, indent=2) + "\n")


def graphs(model: Predictor) -> Iterator[Graph]:
    """The graphs of a model, with inputs of two rows to trace them by."""
    module, size = model.module, model.processor.pixels.size
    rows, length, before = torch.export.Dim("rows"), torch.export.Dim("length"), torch.export.Dim("before", min=0)
    if not isinstance(module, Sees):
        raise ValueError(f"{model.system}/{model.preset} has no graph of one picture")
    images = torch.zeros(2, 3, size, size, device=model.device, dtype=model.dtype)
    compares = isinstance(module, EmbedsImages)
    yield Graph("see", See(module), {"images": images}, {"images": {0: rows}}, ("seen", "vector")[: 1 + compares])
    if isinstance(module, EmbedsText):
        ids = torch.ones(2, 4, dtype=torch.int64, device=model.device)
        free = {name: {0: rows, 1: length} for name in ("ids", "mask")}
        yield Graph("read", Read(module), {"ids": ids, "mask": ids > 0}, free, ("vector",))
    if isinstance(module, Speaks):
        seen = module.see(images)
        yield Graph("recall", Recall(module), {"seen": seen}, {"seen": {0: rows}}, ("image_k", "image_v"))
        yield _speak(module, seen, rows, before)


def _speak(module: Speaks, seen: Tensor, rows: Any, before: Any) -> Graph:
    ids = torch.full((2, 3), module.start, device=seen.device)
    _, cache = module.speak(ids, module.recall(seen))
    past_k, past_v = _stacked(kv for kv in cache.past if kv is not None)
    image_k, image_v = _stacked(kv for kv in cache.image if kv is not None)
    inputs = {
        "ids": ids[:, :1],
        "present": torch.ones(2, 4, dtype=torch.bool, device=seen.device),
        "past_k": past_k,
        "past_v": past_v,
        "image_k": image_k,
        "image_v": image_v,
    }
    past, image = {1: rows, 3: before}, {1: rows}
    free = {"ids": {0: rows}, "present": {0: rows, 1: before + 1}, "past_k": past, "past_v": past}
    free |= {"image_k": image, "image_v": image}
    step = Speak(module, tuple(kv is not None for kv in cache.image))
    return Graph("speak", step, inputs, free, ("logits", "next_k", "next_v"))


def _save(graph: Graph, path: Path) -> None:
    weights = sum(weight.nbytes for weight in graph.module.parameters())
    program: Any = torch.onnx.export(
        graph.module.eval(),
        kwargs=graph.inputs,
        f=path,
        input_names=[*graph.inputs],
        output_names=[*graph.outputs],
        dynamic_shapes=graph.free,
        dynamo=True,
        verbose=False,
        external_data=weights > LARGEST,
    )
    taken = {value.name: value.shape for value in program.model.graph.inputs}
    if fixed := [name for name, axes in graph.free.items() if any(isinstance(taken[name][axis], int) for axis in axes)]:
        raise ValueError(f"graph {graph.name} takes {fixed[0]} of {taken[fixed[0]]} only: its model counts by len()")


def _stacked(layers: Iterator[KV]) -> tuple[Layers, Layers]:
    known = [*layers]
    return torch.stack([kv.k for kv in known]), torch.stack([kv.v for kv in known])


@contextmanager
def _quiet() -> Generator[None]:
    """Without torch's remarks about its own exporter."""
    noisy = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        noisy.setLevel(level)
