"""A slow twin of a network and a queue of what it said: MoCo's negatives (arXiv:1911.05722, section 3.2)."""

import copy
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Part = TypeVar("Part", bound=nn.Module)


class Twin(nn.Module, Generic[Part]):
    """A copy whose weights follow the original's: ``twin = m * twin + (1 - m) * original``.

    Its weights are buffers: saved and restored like any state, never trained, never counted.
    """

    def __init__(self, original: Part, *, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.copy = _without_parameters(original)
        self._original = (original,)  # in a tuple: no part of ours

    def follow(self) -> None:
        """One step towards the original, before the twin is asked."""
        self._move(1.0 - self.momentum)

    def restart(self) -> None:
        """Be the original's equal again."""
        self._move(1.0)

    @torch.no_grad()
    def _move(self, step: float) -> None:
        weights = dict(self._original[0].named_parameters())
        for name, buffer in self.copy.named_buffers():
            buffer.lerp_(weights[name], step)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        return self.copy(*inputs)


def believed(most: float, forwards: Int[Tensor, ""], *, ramp: int) -> Float[Tensor, ""]:
    """How far a twin is trusted after so many forwards, `most` after `ramp`: ALBEF's alpha."""
    return most * (forwards / ramp).clamp(max=1.0)


class Queue(nn.Module):
    """The last `size` unit vectors, and whose they are, in a ring."""

    vectors: Float[Tensor, "s d"]
    identity: Int[Tensor, " s"]
    place: Int[Tensor, ""]

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size = size
        vectors = torch.nn.functional.normalize(torch.randn(size, dim), dim=-1)
        self.register_buffer("vectors", vectors)
        self.register_buffer("identity", torch.full((size,), -1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, vectors: Float[Tensor, "b d"], identity: Int[Tensor, " b"]) -> None:
        """Overwrite the oldest; more than `size` at once keeps the last."""
        vectors, identity = vectors[-self.size :], identity[-self.size :]
        places = (self.place + torch.arange(len(vectors), device=vectors.device)) % self.size
        self.vectors[places] = vectors.to(self.vectors.dtype)
        self.identity[places] = identity
        self.place.copy_((self.place + len(vectors)) % self.size)


def _without_parameters(module: Part) -> Part:
    twin = copy.deepcopy(module)
    for part in twin.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, weight.detach().clone())
    return twin
