"""What a decoder remembers between two tokens, as a value that is passed and returned."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from chiasm.nn.attention import KV


@dataclass(frozen=True)
class Cache:
    """Keys and values of every layer: `k` rows of past tokens for each picture, the picture's own once.

    Rows of one picture lie side by side and share its keys and values, so beams cost no copies.
    `present` is False on the left padding of prompts; None where nothing was padded.
    """

    past: tuple[KV | None, ...]
    image: tuple[KV | None, ...]
    present: Bool[Tensor, "n t"] | None = None
    k: int = 1

    def spread(self, k: int) -> "Cache":
        """From one row a picture to `k` equal ones."""
        rows = torch.arange(self._rows(), device=self._device()).repeat_interleave(k)
        return replace(self.select(rows), k=self.k * k)

    def select(self, rows: Int[Tensor, " n"]) -> "Cache":
        """Rows in a new order, also more or fewer of them, as many for each picture; each stays with its picture."""
        past, k = tuple(kv and kv.rows(rows) for kv in self.past), self.k * len(rows) // self._rows()
        return replace(self, past=past, present=None if self.present is None else self.present[rows], k=k)

    def keep(self, pictures: Int[Tensor, " m"]) -> "Cache":
        """Only some pictures, with all of their rows."""
        rows = (pictures[:, None] * self.k + torch.arange(self.k, device=pictures.device)).flatten()
        return replace(self.select(rows), image=tuple(kv and kv.rows(pictures) for kv in self.image), k=self.k)

    def _rows(self) -> int:
        read = next((kv for kv in self.past if kv is not None), None)
        if read is not None:
            return len(read.k)
        return next(len(kv.k) for kv in self.image if kv is not None) * self.k

    def _device(self) -> torch.device:
        return next(kv.k.device for kv in (*self.past, *self.image) if kv is not None)
