"""Q-Former: learned queries that read a picture through a BERT stack, with words beside them (arXiv:2301.12597, 3.1).

    queries ─ norm ─┐                        ┌─ read the picture (every other layer) ─ think ─ queries
                    ├─ one shared attention ─┤                                                        x depth
    words ── norm ──┘                        └────────────────────────────────── text's think ─ words

Its uses differ in who sees whom, as drawn in `tests/nn/test_qformer.py`: queries alone, text alone, both
together, and text that is written from left to right about what the queries saw. Queries have no
positions and never see what is written; words never read the picture themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.attention import KV
from chiasm.nn.bert import BertLayer, Memory, Step, numbered, thinking, without_padding
from chiasm.nn.block import PostNorm, Stack
from chiasm.nn.cache import Cache
from chiasm.nn.init import normal
from chiasm.nn.mlp import MLP, Activation
from chiasm.nn.reading import ONE, OnePicture


@dataclass(frozen=True, kw_only=True)
class Words:
    """The text half: its vocabulary, and how long a text may be."""

    vocab: int
    max_len: int = 512


class Looked(NamedTuple):
    """What the queries found in pictures, and the keys and values that every layer has of them."""

    states: Float[Tensor, "b q d"]
    known: Memory


class TextHalf(nn.Module):
    """What words need beside the layers that they share with the queries: embeddings, and MLPs of their own."""

    def __init__(self, words: Words, cfg: "QFormer.Config") -> None:
        super().__init__()
        self.word = nn.Embedding(words.vocab, cfg.dim)
        self.position = nn.Embedding(words.max_len, cfg.dim)
        self.think = Stack[PostNorm[MLP]](thinking(cfg) for _ in range(cfg.depth))
        self.max_len = words.max_len

    def forward(self, ids: Int[Tensor, "b t"], positions: Int[Tensor, "#b t"]) -> Float[Tensor, "b t d"]:
        return self.word(ids) + self.position(positions)


class QFormer(nn.Module):
    """A fixed number of vectors for a picture of any size, and for a text beside it if there is a text half.

    Everything about a picture begins with `recall`, whose keys and values serve any number of rows.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        image_dim: int
        text: Words | None  # None: reads pictures only, as behind a language model (section 3.2)
        queries: int = 32
        dim: int = 768
        depth: int = 12
        heads: int = 12
        reads: tuple[int, ...] = tuple(range(0, 12, 2))  # layers in which queries read the picture
        expansion: float = 4.0  # width of the MLPs over that of the stream
        activation: Activation = Activation.GELU
        dropout: float = 0.1
        eps: float = 1e-12
        std: float = 0.02

        @property
        def reading(self) -> OnePicture:
            """One picture at a time."""
            return ONE

        def build(self) -> "QFormer":
            return QFormer(self)

        def worded(self, vocab: int) -> "QFormer.Config":
            """The same for another vocabulary, if it has words at all."""
            return self if self.text is None else replace(self, text=replace(self.text, vocab=vocab))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(1, cfg.queries, cfg.dim).normal_(std=cfg.std))
        self.norm = nn.LayerNorm(cfg.dim, eps=cfg.eps)
        self.dropout = nn.Dropout(cfg.dropout)
        self.layers = Stack[BertLayer](BertLayer(cfg, i) for i in range(cfg.depth))
        self.text = None if cfg.text is None else TextHalf(cfg.text, cfg)
        normal(self, std=cfg.std)
        if self.text is not None:
            for layer, think in zip(self.layers, self.text.think, strict=True):
                layer.think.load_state_dict(think.state_dict())  # both start as BERT's

    @property
    def words(self) -> nn.Embedding:
        """The embeddings of words, which are also what a word head writes with."""
        return self._half().word

    def recall(self, image: Float[Tensor, "b p c"], present: Bool[Tensor, "b p"] | None = None) -> Memory:
        """What the layers that read will need of pictures; `present` is False on what must not be read."""
        return tuple(layer.recall(image, present) for layer in self.layers)

    def look(self, memory: Memory) -> Looked:
        """The queries alone."""
        x, known = self._asked(_pictures(memory)), list[KV]()
        for layer, image in zip(self.layers, memory, strict=True):
            known.append(layer.remember(x))
            x = layer(x, known[-1], None, image)
        return Looked(x, tuple(known))

    def together(self, memory: Memory, text: Text) -> Float[Tensor, "n q d"]:
        """The queries beside texts, where everyone sees everyone; equally many texts share each picture."""
        count = self.queries.shape[1]
        x = torch.cat([self._asked(len(text)), self._begun(text.ids)], dim=1)
        mask = torch.cat([text.mask.new_ones(len(text), count), text.mask], dim=1)[:, None, None]
        *layers, ((last, _), image_of_last) = zip(self._text_layers(), memory, strict=True)
        for (layer, think), image in layers:
            x = layer.attend(x, layer.remember(x), mask)
            x = torch.cat([layer.think(layer.look(x[:, :count], image)), think(x[:, count:])], dim=1)
        return last(x[:, :count], last.remember(x), mask, image_of_last)  # nobody asks for the words after it

    def read(self, text: Text) -> Float[Tensor, "b t d"]:
        """Texts alone: states of all words."""
        return self._alone(text, self._text_layers())

    def first(self, text: Text) -> Float[Tensor, "b d"]:
        """`read(...)[:, 0]`, for less: in the last layer only the first word needs to look around."""
        *layers, (last, think) = self._text_layers()
        x = self._alone(text, layers)
        return think(last.attend(x[:, :1], last.remember(x), text.mask[:, None, None]))[:, 0]

    def decode(
        self, ids: Int[Tensor, "n t"], cache: Cache, present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n t d"], Cache]:
        """States of new words that see the queries, themselves and what came before, and the cache with them."""
        half, past = self._half(), list[KV | None]()
        step = Step.of(ids, cache, present, longest=half.max_len)
        x, mask = self._settled(half(ids, step.positions)), _beside_all(step.mask, self.queries.shape[1])
        for (layer, think), old, queries in zip(self._text_layers(), cache.past, cache.image, strict=True):
            past.append(words := layer.remember(x, old))
            x = think(layer.attend(x, _after(queries, words), mask))
        return x, replace(cache, past=tuple(past), present=step.present)

    def blank(self, known: Memory) -> Cache:
        """A cache that knows what the queries know and no words yet."""
        return Cache((None,) * len(self.layers), known)

    def _alone(self, text: Text, layers: Iterable[tuple[BertLayer, PostNorm[MLP]]]) -> Float[Tensor, "b t d"]:
        packing = without_padding(text.mask, self)
        x, mask = self._begun(text.ids), text.mask[:, None, None]
        x = x if packing is None else packing.pack(x)
        for layer, think in layers:
            x = think(layer.attend(x, layer.remember(x, packing=packing), mask, packing))
        return x if packing is None else packing.unpack(x)

    def _text_layers(self) -> list[tuple[BertLayer, PostNorm[MLP]]]:
        return list(zip(self.layers, self._half().think, strict=True))

    def _asked(self, rows: int) -> Float[Tensor, "b q d"]:
        return self._settled(self.queries.expand(rows, -1, -1))

    def _begun(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        half = self._half()
        return self._settled(half(ids, numbered(ids, 0, half.max_len)))

    def _settled(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.dropout(self.norm(x))

    def _half(self) -> TextHalf:
        if self.text is None:
            raise ValueError("this Q-Former reads pictures only: its config has no `text`, so there are no words")
        return self.text


def base(image_dim: int) -> QFormer.Config:
    """32 queries in BERT-base, whose vocabulary has [DEC] besides: all published ones."""
    return QFormer.Config(image_dim=image_dim, text=Words(vocab=30_523))


def tiny(image_dim: int) -> QFormer.Config:
    """Eight queries and short words, for a laptop."""
    return QFormer.Config(
        image_dim=image_dim, text=Words(vocab=256, max_len=64), queries=8, dim=64, depth=2, heads=2, reads=(0,),
        dropout=0.0, std=0.18,
    )  # fmt: skip


def _pictures(memory: Memory) -> int:
    """How many there are; a shape, since len() could not be traced."""
    return next(kv.k.shape[0] for kv in memory if kv is not None)


def _beside_all(mask: Bool[Tensor, "b 1 t u"] | None, queries: int) -> Bool[Tensor, "b 1 t m"] | None:
    """Every word sees every query, which stand before the words."""
    return None if mask is None else torch.cat([mask.new_ones(*mask.shape[:3], queries), mask], dim=-1)


def _after(queries: KV | None, words: KV) -> KV:
    """Keys and values of each row's words after those of its picture's queries."""
    if queries is None:
        return words
    rows = words.k.shape[0] // queries.k.shape[0]
    shared = (each[:, None].expand(-1, rows, -1, -1, -1).flatten(0, 1) for each in queries[:2])
    return KV(*(torch.cat(pair, dim=2) for pair in zip(shared, words[:2], strict=True)))
