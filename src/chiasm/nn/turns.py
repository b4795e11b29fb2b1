"""Two pictures read in turns: every layer that reads comes twice (NLVR2 in ALBEF, arXiv:2107.07651, section 5).

    words ─ lower half ─ ( attend ─ read the first ─ think ─ attend ─ read the second ─ think ) x upper half

The two of a pair share the projections of keys and values, and both start from the one of pre-training.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.attention import KV, Attention
from chiasm.nn.bert import Bert, BertLayer, Memory
from chiasm.nn.block import Stack
from chiasm.nn.init import normal


class Turns(nn.Module):
    """A `Bert` that reads one picture, and its reading layers once more for the other."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        bert: Bert.Config

        @property
        def dim(self) -> int:
            return self.bert.dim

        @property
        def std(self) -> float:
            return self.bert.std

        @property
        def pictures(self) -> int:
            return 2

        def build(self) -> "Turns":
            return Turns(self)

        def worded(self, vocab: int) -> "Turns.Config":
            """The same for another vocabulary."""
            return replace(self, bert=self.bert.worded(vocab))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.bert = cfg.bert.build()
        self.again = Stack[BertLayer](BertLayer(cfg.bert, layer) for layer in range(self.bert.below, cfg.bert.depth))
        normal(self.again, std=cfg.std)
        for first, second in zip(self._upper(), self.again, strict=True):
            ours, theirs = (layer.read.f if layer.read else None for layer in (second, first))
            if not isinstance(ours, Attention) or not isinstance(theirs, Attention):
                raise ValueError("pictures are read in turns by layers that read one picture each, up to the last")
            ours.k, ours.v = theirs.k, theirs.v

    def recall(self, images: Float[Tensor, "b p c"]) -> Memory:
        """What every layer will need of two pictures whose states lie one after the other."""
        first, second = images.chunk(2, dim=1)
        return (*self.bert.recall(first), *(layer.recall(second) for layer in self.again))

    def encode(self, text: Text, memory: Memory) -> Float[Tensor, "b t d"]:
        """States of all words."""
        mask, x = text.mask[:, None, None], self.bert.begin(text)
        for layer, image in self._in_turn(memory):
            x = layer(x, layer.remember(x), mask, image)
        return x

    def first(self, text: Text, memory: Memory) -> Float[Tensor, "b d"]:
        """`encode(...)[:, 0]`, for less: in the last layer only the first word needs to look around."""
        mask, x = text.mask[:, None, None], self.bert.begin(text)
        *layers, (last, image_of_last) = self._in_turn(memory)
        for layer, image in layers:
            x = layer(x, layer.remember(x), mask, image)
        return last(x[:, :1], last.remember(x), mask, image_of_last)[:, 0]

    def _upper(self) -> list[BertLayer]:
        return list(self.bert.layers)[self.bert.below :]

    def _in_turn(self, memory: Memory) -> Iterator[tuple[BertLayer, KV | None]]:
        """The first picture's layer, the second's, the next of the first's ..."""
        depth = len(self.bert.layers)
        firsts = zip(self._upper(), memory[self.bert.below : depth], strict=True)
        for pair in zip(firsts, zip(self.again, memory[depth:], strict=True), strict=True):
            yield from pair
