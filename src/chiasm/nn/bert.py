"""BERT with a schedule of cross-attention: reads alone, reads beside a picture, or writes about one.

    words + position ─ norm ─ ( attend ─ read the picture ─ MLP ) x depth          (arXiv:1810.04805)

Which layers read the picture is `reads`: all of them in BLIP, the upper half in ALBEF. Without a
picture the reading is skipped. What is read may also be two pictures (`nn/reading.py`), or another
text, whose padding is masked. Who sees whom is drawn in `tests/nn/test_bert.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.attention import KV, Attention
from chiasm.nn.block import PostNorm, Stack
from chiasm.nn.cache import Cache
from chiasm.nn.init import normal
from chiasm.nn.linear import Linear, linear
from chiasm.nn.mlp import MLP, Activation
from chiasm.nn.packing import Packing
from chiasm.nn.reading import ONE, OnePicture, TwoPictures

Memory = tuple[KV | None, ...]  # a picture's keys and values, for each layer that reads


@runtime_checkable
class LayerConfig(Protocol):
    """What a `BertLayer` has to know of the stack that it stands in."""

    @property
    def image_dim(self) -> int: ...

    @property
    def dim(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def reads(self) -> tuple[int, ...]: ...

    @property
    def expansion(self) -> float: ...

    @property
    def activation(self) -> Activation: ...

    @property
    def reading(self) -> OnePicture | TwoPictures: ...

    @property
    def dropout(self) -> float: ...

    @property
    def eps(self) -> float: ...

    @property
    def std(self) -> float: ...


class BertEmbedding(nn.Module):
    """Word plus learned position, normalised; no token types, as in BLIP."""

    def __init__(self, cfg: "Bert.Config") -> None:
        super().__init__()
        self.word = nn.Embedding(cfg.vocab, cfg.dim)
        self.position = nn.Embedding(cfg.max_len, cfg.dim)
        self.norm = nn.LayerNorm(cfg.dim, eps=cfg.eps)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, ids: Int[Tensor, "b t"], positions: Int[Tensor, "#b t"]) -> Float[Tensor, "b t d"]:
        return self.dropout(self.norm(self.word(ids) + self.position(positions)))


def thinking(cfg: LayerConfig) -> PostNorm[MLP]:
    """The MLP of a layer."""
    hidden = round(cfg.expansion * cfg.dim)
    return PostNorm(MLP(cfg.dim, hidden, cfg.activation), cfg.dim, eps=cfg.eps, dropout=cfg.dropout)


class BertLayer(nn.Module):
    """Attend to the words, read the picture if there is one, think."""

    def __init__(self, cfg: LayerConfig, layer: int) -> None:
        super().__init__()
        attention = partial(Attention, cfg.dim, cfg.heads, dropout=cfg.dropout)
        self.attend = PostNorm(attention(), cfg.dim, eps=cfg.eps, dropout=cfg.dropout)
        read = cfg.reading.build(partial(attention, kv_dim=cfg.image_dim), cfg.dim, layer)
        self.read = PostNorm(read, cfg.dim, eps=cfg.eps, dropout=cfg.dropout) if layer in cfg.reads else None
        self.think = thinking(cfg)

    def recall(self, image: Float[Tensor, "b p c"], present: Bool[Tensor, "b p"] | None = None) -> KV | None:
        """The picture's keys and values for this layer."""
        return None if self.read is None else self.read.f.remember(image, present)

    def remember(self, x: Float[Tensor, "b n d"], past: KV | None = None, packing: Packing | None = None) -> KV:
        """The words' keys and values, after those of the `past`."""
        new = self.attend.f.remember(x, None, packing)
        if past is None:
            return new
        return KV(torch.cat([past.k, new.k], dim=2), torch.cat([past.v, new.v], dim=2))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        words: KV,
        mask: Bool[Tensor, "_ 1 _ m"] | None,
        image: KV | None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "b n d"]:
        return self.think(self.look(self.attend(x, words, mask, packing), image, packing))

    def look(
        self, x: Float[Tensor, "b n d"], image: KV | None, packing: Packing | None = None
    ) -> Float[Tensor, "b n d"]:
        """What has read the picture, if there is one and this layer reads."""
        if self.read is None or image is None:
            return x
        if packing is not None and image.k.shape[0] > 1:
            return self.read(x, image, image.mask, packing)
        if x.shape[0] == image.k.shape[0]:
            return self.read(x, image, image.mask)
        # rows that share a picture read it side by side, as one longer row; len() could not be traced
        return self.read(x.reshape(image.k.shape[0], -1, x.shape[-1]), image, image.mask).view_as(x)


class Bert(nn.Module):
    """A stack of `BertLayer`s that encodes texts or decodes them token by token."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vocab: int
        image_dim: int
        dim: int = 768
        depth: int = 12
        heads: int = 12
        reads: tuple[int, ...] = tuple(range(12))  # layers with cross-attention
        reading: OnePicture | TwoPictures = ONE
        max_len: int = 512
        expansion: float = 4.0  # width of the MLP over that of the stream
        activation: Activation = Activation.GELU
        dropout: float = 0.1
        eps: float = 1e-12
        std: float = 0.02

        @property
        def pictures(self) -> int:
            """How many are read at a time."""
            return self.reading.pictures

        def build(self) -> "Bert":
            return Bert(self)

        def worded(self, vocab: int) -> "Bert.Config":
            """The same for another vocabulary."""
            return replace(self, vocab=vocab)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.embed = BertEmbedding(cfg)
        self.layers = Stack[BertLayer](BertLayer(cfg, i) for i in range(cfg.depth))
        self.below = min(cfg.reads, default=0)  # layers before the first that reads
        self.max_len = cfg.max_len
        normal(self, std=cfg.std)

    def recall(self, image: Float[Tensor, "b p c"], present: Bool[Tensor, "b p"] | None = None) -> Memory:
        """What every layer will need of the picture: computed once, read by any number of texts.

        `present` is False on what must not be read: the padding of a question whose answer is written.
        """
        return tuple(layer.recall(image, present) for layer in self.layers)

    def encode(self, text: Text, memory: Memory | None = None) -> Float[Tensor, "b t d"]:
        """States of all words; every word sees every word."""
        return self.finish(self.begin(text), text.mask, memory)

    def first(self, text: Text, memory: Memory | None = None) -> Float[Tensor, "b d"]:
        """`encode(...)[:, 0]`, for less."""
        return self.finish_first(self.begin(text), text.mask, memory)

    def begin(self, text: Text) -> Float[Tensor, "b t d"]:
        """States of all words below the first layer that reads: in ALBEF, what a text says by itself."""
        x = self.embed(text.ids, numbered(text.ids, 0, self.max_len))
        return self._through(x, text.mask, [(layer, None) for layer in islice(self.layers, self.below)])

    def finish(
        self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], memory: Memory | None = None
    ) -> Float[Tensor, "b t d"]:
        """What the other layers make of such states, beside a picture if there is one."""
        return self._through(x, mask, self._above(memory))

    def finish_first(
        self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], memory: Memory | None = None
    ) -> Float[Tensor, "b d"]:
        """`finish(...)[:, 0]`, for less: in the last layer only the first word needs to look around."""
        *layers, (last, image) = self._above(memory)
        x = self._through(x, mask, layers)
        return last(x[:, :1], last.remember(x), mask[:, None, None], image)[:, 0]

    def decode(
        self, ids: Int[Tensor, "n t"], cache: Cache, present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n t d"], Cache]:
        """States of new words that see themselves and what came before, and the cache that includes them."""
        step, past = Step.of(ids, cache, present, longest=self.max_len), list[KV | None]()
        x = self.embed(ids, step.positions)
        for layer, old, image in zip(self.layers, cache.past, cache.image, strict=True):
            words = layer.remember(x, old)
            x = layer(x, words, step.mask, image)
            past.append(words)
        return x, replace(cache, past=tuple(past), present=step.present)

    def blank(self, memory: Memory) -> Cache:
        """A cache that knows pictures and no words yet."""
        return Cache(self._blank(), memory)

    def _through(
        self, x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], layers: Iterable[tuple[BertLayer, KV | None]]
    ) -> Float[Tensor, "b t d"]:
        """States after some layers, in which every word sees all words of its text."""
        packing = without_padding(mask, self)
        x = x if packing is None else packing.pack(x)
        for layer, image in layers:
            x = layer(x, layer.remember(x, packing=packing), mask[:, None, None], image, packing)
        return x if packing is None else packing.unpack(x)

    def _above(self, memory: Memory | None) -> list[tuple[BertLayer, KV | None]]:
        return list(zip(self.layers, memory or self._blank(), strict=True))[self.below :]

    def _blank(self) -> Memory:
        return (None,) * len(self.layers)


class Step(NamedTuple):
    """Where new words stand after those of a cache, what they may look at, and who is present by now."""

    positions: Int[Tensor, "#n t"]
    mask: Bool[Tensor, "#n 1 t u"] | None
    present: Bool[Tensor, "n u"] | None

    @staticmethod
    def of(ids: Int[Tensor, "n t"], cache: Cache, present: Bool[Tensor, "n t"] | None, *, longest: int) -> "Step":
        known = cache.past[0]
        before = 0 if known is None else known.k.shape[2]
        seen = _extend(cache.present, present, ids, before)
        positions = numbered(ids, before, longest)
        own = positions if seen is None else counted(seen)[:, before:]
        return Step(own, causal(ids.shape[1], before, seen, ids.device), seen)


def numbered(ids: Int[Tensor, "b t"], before: int, longest: int) -> Int[Tensor, "1 t"]:
    """The positions of new words, if a text may be as long as that."""
    if (count := before + ids.shape[1]) > longest:
        raise ValueError(f"a text of {count} tokens for a model of at most {longest}")
    return torch.arange(before, count, device=ids.device)[None]


def without_padding(mask: Bool[Tensor, "b t"], part: nn.Module) -> Packing | None:
    """How to leave padding out, but not of what learns: a step's shapes, and with them its dropout, stay as they are.

    A graph that is traced has to do for any mask.
    """
    whole = part.training or torch.compiler.is_compiling() or bool(mask.all())
    return None if whole else Packing.of(mask)


def causal(
    words: int, before: int, present: Bool[Tensor, "n t"] | None, device: torch.device
) -> Bool[Tensor, "#n 1 words t"] | None:
    """True where one of the new `words` may look: itself and all earlier ones that are present."""
    if present is None and words == 1:
        return None
    order = torch.arange(before + words, device=device)
    row, col = order[before:, None], order[None, :]
    allowed = (col <= row)[None]
    if present is not None:  # padding sees itself: a row that sees nothing would be NaN
        allowed = (allowed & present[:, None, :]) | (col == row)
    return allowed[:, None]


class WordHead(nn.Module):
    """BERT's prediction head: dense, what bends, norm, and the word embeddings once more as output matrix."""

    def __init__(self, cfg: LayerConfig, word: nn.Embedding) -> None:
        super().__init__()
        self.dense = Linear(cfg.dim, cfg.dim)
        self.norm = nn.LayerNorm(cfg.dim, eps=cfg.eps)
        normal(self, std=cfg.std)
        self.activation = cfg.activation
        self.word = word
        self.bias = nn.Parameter(torch.zeros(word.num_embeddings))

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... v"]:
        return linear(self.norm(self.activation(self.dense(x))), self.word.weight, self.bias)


def rows_of(memory: Memory, index: Int[Tensor, " n"]) -> Memory:
    """The same of some pictures, in some order."""
    return tuple(kv and kv.rows(index) for kv in memory)


def counted(present: Bool[Tensor, "n t"]) -> Int[Tensor, "n t"]:
    """Positions that start after the left padding."""
    return (present.cumsum(dim=1) - 1).clamp(min=0)


def _extend(
    past: Bool[Tensor, "n s"] | None, new: Bool[Tensor, "n t"] | None, ids: Int[Tensor, "n t"], before: int
) -> Bool[Tensor, "n u"] | None:
    if past is None and new is None:
        return None
    old = past if past is not None else ids.new_ones(len(ids), before, dtype=torch.bool)
    now = new if new is not None else torch.ones_like(ids, dtype=torch.bool)
    return torch.cat([old, now], dim=1)
