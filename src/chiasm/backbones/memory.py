"""What a model of `transformers` remembers between two tokens, as a value: theirs changes in place, ours is another.

    cache ─ copied ─┬─ rows reordered ─ another state
                    └─ read on ─ another state

Layers of attention replace their tensors when they grow, so a copy of such a layer shares them until then.
Layers of other kinds write into theirs and are copied whole.
"""

from copy import copy, deepcopy
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Memory:
    """Their cache: `k` rows for each picture, side by side.

    `present` is True on all that was read and was no padding; who encodes first remembers what is `encoded`.
    """

    cache: Any
    present: Bool[Tensor, "n t"]
    encoded: Float[Tensor, "n t d"] | None = None
    k: int = 1

    def spread(self, k: int) -> "Memory":
        """From one row a picture to `k` equal ones."""
        rows = torch.arange(len(self.present), device=self.present.device).repeat_interleave(k)
        return self.select(rows)

    def select(self, rows: Int[Tensor, " n"]) -> "Memory":
        """Rows in a new order, also more or fewer of them, as many for each picture; each stays with its picture."""
        return replace(self._rows(rows), k=self.k * len(rows) // len(self.present))

    def keep(self, pictures: Int[Tensor, " m"]) -> "Memory":
        """Only some pictures, with all of their rows."""
        return self._rows((pictures[:, None] * self.k + torch.arange(self.k, device=pictures.device)).flatten())

    def _rows(self, rows: Int[Tensor, " n"]) -> "Memory":
        cache = copied(self.cache)
        cache.reorder_cache(rows)
        encoded = None if self.encoded is None else self.encoded[rows]
        return replace(self, cache=cache, present=self.present[rows], encoded=encoded)


def copied(cache: Any) -> Any:
    """The same cache; what becomes of it leaves the first as it was."""
    theirs = import_module("transformers.cache_utils")
    if isinstance(cache, theirs.EncoderDecoderCache):
        both = theirs.EncoderDecoderCache(copied(cache.self_attention_cache), copied(cache.cross_attention_cache))
        both.is_updated = dict(cache.is_updated)
        return both
    grows = (theirs.DynamicLayer, theirs.DynamicSlidingWindowLayer)
    twin = copy(cache)
    twin.layers = [copy(layer) if type(layer) in grows else deepcopy(layer) for layer in cache.layers]
    return twin
