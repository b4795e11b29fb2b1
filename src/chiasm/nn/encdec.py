"""T5: an encoder reads what is given, a decoder writes what is said (arXiv:1910.10683; Flan-T5: arXiv:2210.11416).

    given ─ ( norm ─ attend ─ norm ─ MLP ) x depth ─ norm ─┐
                                                           │ keys and values, once for each picture
    said ── ( norm ─ attend back ─ norm ─ read ─ norm ─ MLP ) x depth ─ norm ─ head

Every arrow passes beside a residual. Words have no positions: scores are moved by how far two words are apart
(`Distances`, one table for all layers of a stack). Scores are not scaled, which the start of the queries makes
up for, and nothing has a bias. The padding of what is given may stand anywhere. Half precision is bf16: the stream
of the published models grows beyond what fp16 holds.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.core.types import Text
from chiasm.nn.attention import KV
from chiasm.nn.block import Stack
from chiasm.nn.cache import Cache
from chiasm.nn.distances import Distances, backwards, both_ways
from chiasm.nn.linear import Linear, linear
from chiasm.nn.mlp import Activation, BareMLP, GatedMLP
from chiasm.nn.norm import RMSNorm


@dataclass(frozen=True, kw_only=True)
class Plain:
    """The MLP of the first T5."""

    activation: Activation = Activation.RELU

    def build(self, dim: int, hidden: int, dropout: float) -> BareMLP:
        return BareMLP(dim, hidden, self.activation, dropout=dropout)


@dataclass(frozen=True, kw_only=True)
class Gated:
    """That of T5 1.1 and Flan-T5, trained with the tanh; LAVIS ran its BLIP-2 with `Activation.GELU` instead."""

    activation: Activation = Activation.TANH_GELU

    def build(self, dim: int, hidden: int, dropout: float) -> GatedMLP:
        return GatedMLP(dim, hidden, self.activation, dropout=dropout)


@dataclass(frozen=True, kw_only=True)
class SharedHead:
    """The word vectors once more, of states that are made as small as those are large: the first T5."""

    def build(self, word: nn.Embedding) -> "WordVectors":
        return WordVectors(word, scale=word.embedding_dim**-0.5)


@dataclass(frozen=True, kw_only=True)
class UnscaledHead:
    """The word vectors once more, of states as they are: a T5 1.1 that `transformers` 5 begins, where all are tied."""

    def build(self, word: nn.Embedding) -> "WordVectors":
        return WordVectors(word, scale=1.0)


@dataclass(frozen=True, kw_only=True)
class OwnHead:
    """A matrix of its own: T5 1.1 and Flan-T5."""

    def build(self, word: nn.Embedding) -> Linear:
        return Linear(word.embedding_dim, word.num_embeddings, bias=False)


class WordVectors(nn.Module):
    """Compares states with word vectors."""

    def __init__(self, word: nn.Embedding, *, scale: float) -> None:
        super().__init__()
        self.word, self.scale = word, scale

    def forward(self, x: Float[Tensor, "*m d"]) -> Float[Tensor, "*m v"]:
        return linear(x * self.scale, self.word.weight)


class BareAttention(nn.Module):
    """Multi-head attention without biases or a scale, over heads of any width."""

    def __init__(self, cfg: "EncDecLM.Config") -> None:
        super().__init__()
        inner = cfg.heads * cfg.head_dim
        self.heads, self.dropout = cfg.heads, cfg.dropout
        self.q, self.k, self.v = (Linear(cfg.dim, inner, bias=False) for _ in range(3))
        self.out = Linear(inner, cfg.dim, bias=False)

    def remember(
        self, source: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"] | None = None, past: KV | None = None
    ) -> KV:
        """Keys and values of `source`, after those of the `past`."""
        k, v = self._split(self.k(source)), self._split(self.v(source))
        return KV(k, v, present) if past is None else KV(torch.cat([past.k, k], 2), torch.cat([past.v, v], 2), present)

    def forward(
        self, x: Float[Tensor, "b n d"], kv: KV, mask: Float[Tensor, "_ h n m"] | Bool[Tensor, "b 1 1 m"] | None
    ) -> Float[Tensor, "b n d"]:
        """A mask of numbers is added to the scores."""
        dropout = self.dropout if self.training else 0.0
        q = self._split(self.q(x))
        mask = mask if mask is None or mask.dtype == torch.bool else mask.to(q.dtype)
        read = F.scaled_dot_product_attention(q, kv.k, kv.v, attn_mask=mask, dropout_p=dropout, scale=1.0)
        return self.out(read.transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b h n e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attend, think."""

    def __init__(self, cfg: "EncDecLM.Config") -> None:
        super().__init__()
        self.attend_norm, self.attend = RMSNorm(cfg.dim, eps=cfg.eps), BareAttention(cfg)
        self.mlp_norm, self.mlp = RMSNorm(cfg.dim, eps=cfg.eps), cfg.mlp.build(cfg.dim, cfg.hidden, cfg.dropout)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x: Float[Tensor, "b n d"], mask: Float[Tensor, "_ h n n"]) -> Float[Tensor, "b n d"]:
        seen = self.attend_norm(x)
        x = x + self.dropout(self.attend(seen, self.attend.remember(seen), mask))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class DecoderLayer(nn.Module):
    """Attend to what was said, read what was given, think."""

    def __init__(self, cfg: "EncDecLM.Config") -> None:
        super().__init__()
        self.attend_norm, self.attend = RMSNorm(cfg.dim, eps=cfg.eps), BareAttention(cfg)
        self.read_norm, self.read = RMSNorm(cfg.dim, eps=cfg.eps), BareAttention(cfg)
        self.mlp_norm, self.mlp = RMSNorm(cfg.dim, eps=cfg.eps), cfg.mlp.build(cfg.dim, cfg.hidden, cfg.dropout)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(
        self, x: Float[Tensor, "b n d"], past: KV | None, mask: Float[Tensor, "_ h n m"], given: KV
    ) -> tuple[Float[Tensor, "b n d"], KV]:
        """The new states, and keys and values of all words so far."""
        seen = self.attend_norm(x)
        words = self.attend.remember(seen, past=past)
        x = x + self.dropout(self.attend(seen, words, mask))
        # rows that were given the same read it side by side, as one longer row
        beside = self.read_norm(x).reshape(len(given.k), -1, x.shape[-1])
        x = x + self.dropout(self.read(beside, given, given.mask)).view_as(x)
        return x + self.dropout(self.mlp(self.mlp_norm(x))), words


class Encoder(nn.Module):
    """States of vectors that all see each other."""

    def __init__(self, cfg: "EncDecLM.Config") -> None:
        super().__init__()
        self.distances = Distances(cfg.heads, buckets=cfg.buckets, reach=cfg.reach, kind=both_ways)
        self.layers = Stack[EncoderLayer](EncoderLayer(cfg) for _ in range(cfg.depth))
        self.norm = RMSNorm(cfg.dim, eps=cfg.eps)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        places = torch.arange(given.shape[1], device=given.device)
        x, mask = self.dropout(given), self.distances(places, places, present[:, None, None])
        for layer in self.layers:
            x = layer(x, mask)
        return self.dropout(self.norm(x))


class Decoder(nn.Module):
    """States of words that see what was said before them, and all that was given."""

    def __init__(self, cfg: "EncDecLM.Config") -> None:
        super().__init__()
        self.distances = Distances(cfg.heads, buckets=cfg.buckets, reach=cfg.reach, kind=backwards)
        self.layers = Stack[DecoderLayer](DecoderLayer(cfg) for _ in range(cfg.decoder_depth))
        self.norm = RMSNorm(cfg.dim, eps=cfg.eps)
        self.dropout = nn.Dropout(cfg.dropout)

    def recall(self, states: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> Cache:
        """A cache that knows what was given and no word yet."""
        given = tuple(layer.read.remember(states, present) for layer in self.layers)
        return Cache((None,) * len(given), given)

    def forward(self, words: Float[Tensor, "n t d"], cache: Cache) -> tuple[Float[Tensor, "n t d"], Cache]:
        known = cache.past[0]
        before = 0 if known is None else known.k.shape[2]
        places = torch.arange(before + words.shape[1], device=words.device)
        order = None if words.shape[1] == 1 else (places[None] <= places[before:, None])[None, None]
        x, mask = self.dropout(words), self.distances(places[before:], places, order)
        past = list[KV | None]()
        for layer, old, given in zip(self.layers, cache.past, cache.image, strict=True):
            x, new = layer(x, old, mask, given)
            past.append(new)
        return self.dropout(self.norm(x)), Cache(tuple(past), cache.image, k=cache.k)


class EncDecLM(nn.Module):
    """A `Language` that encodes the given and decodes the said."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vocab: int = 32_128
        dim: int
        depth: int
        decoder_depth: int
        heads: int
        head_dim: int = 64
        hidden: int
        mlp: Plain | Gated
        head: SharedHead | UnscaledHead | OwnHead
        buckets: int = 32
        reach: int = 128  # words that are further apart are all equally far
        start: int = 0  # what the decoder reads first: the padding's id
        dropout: float = 0.1
        eps: float = 1e-6

        def build(self) -> "EncDecLM":
            return EncDecLM(self)

        def worded(self, vocab: int) -> "EncDecLM.Config":
            """The same for another vocabulary."""
            return replace(self, vocab=vocab)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.word = nn.Embedding(cfg.vocab, cfg.dim)
        self.encoder, self.decoder = Encoder(cfg), Decoder(cfg)
        self.head = cfg.head.build(self.word)
        self.start = cfg.start
        start(self, head_dim=cfg.head_dim)

    @property
    def dim(self) -> int:
        return self.word.embedding_dim

    def embed(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        return self.word(ids)

    def predict(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"], said: Text) -> Float[Tensor, "m d"]:
        ids = torch.cat([torch.full_like(said.ids[:, :1], self.start), said.ids[:, :-1]], dim=1)
        states, _ = self.decoder(self.word(ids), self.recall(given, present))
        return states[said.mask]

    def logits(self, states: Float[Tensor, "*m d"]) -> Float[Tensor, "*m v"]:
        return self.head(states)

    def listen(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> tuple[Float[Tensor, "b v"], Cache]:
        first = torch.full((len(given), 1), self.start, device=given.device)
        return self.speak(first, self.recall(given, present))

    def recall(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> Cache:
        """The given, encoded once; no word is said yet."""
        return self.decoder.recall(self.encoder(given.to(self.word.weight.dtype), present), present)

    def speak(self, ids: Int[Tensor, "n t"], state: Cache) -> tuple[Float[Tensor, "n v"], Cache]:
        states, state = self.decoder(self.word(ids), state)
        return self.head(states[:, -1]), state


def start(module: EncDecLM, *, head_dim: int) -> None:
    """T5's start: each map keeps the scale of what it reads, and queries are small, since scores are not scaled."""
    dim = module.dim
    nn.init.normal_(module.word.weight, std=1.0)
    for part in module.modules():
        if isinstance(part, Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
        if isinstance(part, Distances):
            nn.init.normal_(part.bias.weight, std=dim**-0.5)
    for part in module.modules():
        if isinstance(part, BareAttention):
            nn.init.normal_(part.q.weight, std=(dim * head_dim) ** -0.5)


def t5_small() -> EncDecLM.Config:
    """The smallest published T5: 60.5 M."""
    mlp, head = Plain(), SharedHead()
    return EncDecLM.Config(dim=512, depth=6, decoder_depth=6, heads=8, hidden=2048, mlp=mlp, head=head)


def flan_t5_xl() -> EncDecLM.Config:
    """The smaller one in BLIP-2 and InstructBLIP: 2.85 B."""
    mlp, head = Gated(), OwnHead()
    return EncDecLM.Config(dim=2048, depth=24, decoder_depth=24, heads=32, hidden=5120, mlp=mlp, head=head)


def flan_t5_xxl() -> EncDecLM.Config:
    """The larger one: 11.1 B."""
    mlp, head = Gated(), OwnHead()
    return EncDecLM.Config(dim=4096, depth=24, decoder_depth=24, heads=64, hidden=10_240, mlp=mlp, head=head)


def tiny(vocab: int) -> EncDecLM.Config:
    """Trains on a laptop."""
    sizes = {"dim": 64, "depth": 2, "decoder_depth": 2, "heads": 4, "head_dim": 16, "hidden": 128}
    return EncDecLM.Config(vocab=vocab, **sizes, mlp=Gated(), head=OwnHead(), dropout=0.0)
