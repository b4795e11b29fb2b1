"""Pictures as a frozen encoder sees them: looked at once, from then on read from the disk.

    first epoch    picture ─ decode ─ encoder ─ states ─┬─ batch
                                                        └─ KEY.states, a row a picture; KEY.done says which
    later                                  KEY.states ─── batch

The key is of the encoder's weights, the pairs and the size of pictures: what has changed is looked at anew. Whoever
is killed has what was done before; several processes may fill one file.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.ability import Picture
from chiasm.core.types import Instructed
from chiasm.data.images import ImageProcessor
from chiasm.data.instructions import Instructions
from chiasm.data.pairs import Pair, Source
from chiasm.data.text import Tokenizer


@runtime_checkable
class Encodes(Protocol):
    """A model whose senses can be asked by themselves."""

    def encoder(self, sense: str) -> nn.Module: ...

    def perceive(self, sense: str, media: Float[Tensor, "n f ..."]) -> Float[Tensor, "n f p c"]: ...


class Remembered:
    """What a `PairLoader` shows: states of the pictures of `source`, in files of a `folder` that can grow large.

    The model comes when its training begins (`watch`). It must be frozen where it sees.
    """

    def __init__(self, folder: Path, source: Source, images: ImageProcessor, *, sense: str = "image") -> None:
        self.folder, self.source, self.images, self.sense = folder, source, images, sense
        self._model: Encodes | None = None
        self._states = self._done = np.empty(0)

    @property
    def bytes(self) -> int:
        """Of a picture: its states are mapped, not held, and the order of rows is that of pictures."""
        return 3 * self.images.pixels.size**2

    def watch(self, model: nn.Module) -> None:
        """See with the eyes of this model."""
        if not isinstance(model, Encodes):
            raise ValueError(f"a {type(model).__name__} has no senses whose states could be kept")
        if any(weight.requires_grad for weight in model.encoder(self.sense).parameters()):
            raise ValueError(
                f"the encoder of {self.sense} learns, so its states cannot be kept: freeze it, or keep none"
            )
        self._model = model
        shape = tuple(self._seen(model, torch.zeros(1, 3, *[self.images.pixels.size] * 2)).shape)
        name = self.folder / _key(model.encoder(self.sense), self.source, self.images, shape)
        self._states = _mapped(name.with_suffix(".states"), np.float32, (len(self.source), *shape))
        self._done = _mapped(name.with_suffix(".done"), np.uint8, (len(self.source),))

    def decode(self, row: int, pair: Pair) -> Float[Tensor, "1 p c"]:
        """What is wrong with a picture is a `MediaError` that names the row."""
        if self._model is None:
            raise ValueError("nobody looks at these pictures yet: states are kept of a model in training")
        if not self._done[row]:
            square = self.images.read(pair.image, index=row)
            self._states[row] = self._seen(self._model, self.images.normalise(square[None])).numpy()
            self._done[row] = 1
        return torch.from_numpy(self._states[row])

    def view(self, decoded: Tensor, _rng: Random) -> Tensor:
        return decoded

    def together(self, views: Sequence[Tensor]) -> Float[Tensor, "n 1 p c"]:
        return torch.stack([*views])

    @torch.no_grad()
    def _seen(self, model: Encodes, pictures: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 p c"]:
        home = next(model.encoder(self.sense).parameters())
        return model.perceive(self.sense, pictures[None].to(home))[0].float().cpu()


@dataclass(frozen=True)
class Recalled:
    """Instructions about pictures that are `Remembered`."""

    told: Instructions

    def pictures(self, _pair: Pair) -> Sequence[Picture]:
        return []

    def read(self, pairs: Sequence[Pair], tokenizer: Tokenizer) -> Sequence[Any]:
        return self.told.read(pairs, tokenizer)

    def vary(self, words: Any, rng: Random) -> tuple[str, str]:
        """An instruction and what should be said, for one epoch."""
        return self.told.vary(words, rng)

    def batch(self, states: Float[Tensor, "n 1 p c"], words: Sequence[tuple[str, str]], _pad: int) -> Instructed:
        sense = self.told.sense
        return Instructed({}, *self.told.texts([([sense], *row) for row in words]), {sense: states})


def _key(encoder: nn.Module, source: Source, images: ImageProcessor, shape: tuple[int, ...]) -> str:
    digest = hashlib.blake2b(f"{source.fingerprint} {images} {shape}".encode(), digest_size=8)
    for name, weight in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _mapped(path: Path, kind: Any, shape: tuple[int, ...]) -> Any:
    """A file of numbers, zeros at first, which appears in its full length or not at all."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.truncate(int(np.prod(shape)) * np.dtype(kind).itemsize)
        Path(file.name).replace(path)
    return np.memmap(path, dtype=kind, mode="r+", shape=shape)
