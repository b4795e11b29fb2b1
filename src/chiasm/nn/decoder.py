"""Language models that only decode: OPT, LLaMA and Vicuna, Mistral, Qwen2, GPT-2 (arXiv:2205.01068, 2302.13971, ...).

    words (+ position) ─ ( norm ─ attend to what came before ─ + ─ norm ─ MLP ─ + ) x depth ─ norm ─ word head

What tells the families apart is in the config: which norm, how places are told, how many heads of keys and values,
which biases, which MLP, how far one looks back, and whether the word head is the word embedding. There is no dropout:
those that we know are frozen, and small ones see each text too seldom to learn it by heart.

A model may be handed vectors instead of words (`nn/language.py`), learn or stay frozen: gradients pass through it
to what it was given either way.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.attention import KV
from chiasm.nn.bert import causal, counted
from chiasm.nn.block import Stack
from chiasm.nn.cache import Cache
from chiasm.nn.grouped import Biases, GroupedAttention
from chiasm.nn.linear import Linear, linear
from chiasm.nn.mlp import MLP, Activation, GatedMLP
from chiasm.nn.norm import LayerNorm, RMSNorm
from chiasm.nn.position import Learned, Rotary, Turn


class Head(Enum):
    """Whose the matrix of the word head is."""

    TIED = auto()  # the word embedding's
    OWN = auto()


class Start(Enum):
    """How large the maps are at first that add to the residual stream."""

    ALIKE = auto()  # as all others
    SHRUNK = auto()  # by the root of how often something is added (GPT-2)


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Two linear maps with biases."""

    hidden: int
    activation: Activation

    def build(self, dim: int) -> MLP:
        return MLP(dim, self.hidden, self.activation)


@dataclass(frozen=True, kw_only=True)
class Gated:
    """Three without."""

    hidden: int
    activation: Activation = Activation.SILU

    def build(self, dim: int) -> GatedMLP:
        return GatedMLP(dim, self.hidden, self.activation)


class DecoderLayer(nn.Module):
    """Attend, then think, each beside the residual and after its own norm."""

    def __init__(self, cfg: "DecoderLM.Config") -> None:
        super().__init__()
        self.attend_norm = cfg.norm.build(cfg.dim)
        self.attend = GroupedAttention(cfg.dim, cfg.heads, kv_heads=cfg.kv_heads, biases=cfg.biases)
        self.mlp_norm = cfg.norm.build(cfg.dim)
        self.mlp = cfg.mlp.build(cfg.dim)

    def forward(
        self, x: Float[Tensor, "b n d"], turn: Turn | None, mask: Bool[Tensor, "#b 1 n n"] | None
    ) -> tuple[Float[Tensor, "b n d"], KV]:
        """A whole sequence, and what to remember of it."""
        seen = self.attend_norm(x)
        kv = self.attend.remember(seen, turn)
        x = x + self.attend(seen, turn, kv, mask)
        return x + self.mlp(self.mlp_norm(x)), kv

    def beside(
        self,
        x: Float[Tensor, "n t d"],
        turn: Turn | None,
        given: KV,
        said: KV | None,
        mask: Bool[Tensor, "#n 1 t m"] | None,
    ) -> tuple[Float[Tensor, "n t d"], KV]:
        """New words after what was given and said, and what has been said then."""
        seen = self.attend_norm(x)
        said = self.attend.remember(seen, turn, said)
        x = x + self.attend.beside(seen, turn, given, said, mask)
        return x + self.mlp(self.mlp_norm(x)), said


class DecoderLM(nn.Module):
    """A stack of `DecoderLayer`s between word embeddings and a word head: a `Language`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vocab: int
        dim: int
        depth: int
        heads: int
        kv_heads: int
        position: Learned | Rotary
        norm: LayerNorm.Config | RMSNorm.Config
        mlp: Plain | Gated
        biases: Biases
        head: Head
        window: int | None = None  # how many tokens one sees, itself among them; None: all before it
        start: Start = Start.ALIKE
        std: float = 0.02

        def build(self) -> "DecoderLM":
            return DecoderLM(self)

        def worded(self, vocab: int) -> "DecoderLM.Config":
            """The same for another vocabulary."""
            return replace(self, vocab=vocab)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.dim, self.window, self.max_len = cfg.dim, cfg.window, cfg.position.max_len
        self.word = nn.Embedding(cfg.vocab, cfg.dim)
        self.position = _position(cfg)
        self.layers = Stack[DecoderLayer](DecoderLayer(cfg) for _ in range(cfg.depth))
        self.norm = cfg.norm.build(cfg.dim)
        self.head = Linear(cfg.dim, cfg.vocab, bias=False)
        _begin(self, cfg)
        if cfg.head is Head.TIED:
            self.head.weight = self.word.weight

    def embed(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        return self.word(ids)

    def predict(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"], said: Text) -> Float[Tensor, "m d"]:
        if given.shape[1] == 0:
            raise ValueError("nothing is given, and the first token comes from it: give the token that opens a text")
        x = torch.cat([given.to(self.word.weight.dtype), self.embed(said.ids[:, :-1])], dim=1)
        x, turn, mask = self._enter(x, torch.cat([present, said.mask[:, :-1]], dim=1))
        for layer in self.layers:
            x, _ = layer(x, turn, mask)
        return self.norm(x[:, given.shape[1] - 1 :][said.mask])

    def logits(self, states: Float[Tensor, "*m d"]) -> Float[Tensor, "*m v"]:
        return linear(states, self.head.weight)

    def listen(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> tuple[Float[Tensor, "b v"], Cache]:
        x, turn, mask = self._enter(given.to(self.word.weight.dtype), present)
        padding, known = None if bool(present.all()) else present, list[KV]()
        for layer in self.layers:
            x, kv = layer(x, turn, mask)
            known.append(kv._replace(present=padding))
        return self.logits(self.norm(x[:, -1])), Cache((None,) * len(known), tuple(known))

    def speak(self, ids: Int[Tensor, "n t"], state: Cache) -> tuple[Float[Tensor, "n v"], Cache]:
        x, turn, mask = self._go_on(ids, state)
        past = list[KV]()
        for layer, (given, said) in zip(self.layers, _heard(state), strict=True):
            x, kv = layer.beside(x, turn, given, said, mask)
            past.append(kv)
        return self.logits(self.norm(x[:, -1])), replace(state, past=tuple(past))

    def _enter(
        self, x: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b n d"], Turn | None, Bool[Tensor, "#b 1 n n"] | None]:
        """What a sequence begins with: its vectors, turns, and who sees whom."""
        places = counted(present)
        self._check(places, longest=x.shape[1])
        x, turn = self.position(x, places)
        return x, turn, self._sight(x.shape[1], 0, present, x.device)

    def _go_on(
        self, ids: Int[Tensor, "n t"], state: Cache
    ) -> tuple[Float[Tensor, "n t d"], Turn | None, Bool[Tensor, "#n 1 t m"] | None]:
        """The same for new words after those of a cache."""
        given, said = _heard(state)[0]
        (rows, words), shown, known = ids.shape, given.k.shape[2], 0 if said is None else said.k.shape[2]
        places, present = torch.arange(known, known + words, device=ids.device)[None], None
        if given.present is None:
            places = (shown + places).expand(rows, -1)
        else:
            present = given.present.repeat_interleave(state.k, dim=0)
            places = present.sum(dim=1, keepdim=True) + places
            present = torch.cat([present, present.new_ones(rows, known + words)], dim=1)
        self._check(places, longest=shown + known + words)
        x, turn = self.position(self.embed(ids), places)
        return x, turn, self._sight(words, shown + known, present, ids.device)

    def _sight(
        self, words: int, before: int, present: Bool[Tensor, "b m"] | None, device: torch.device
    ) -> Bool[Tensor, "#b 1 words m"] | None:
        """True where one of the new `words` may look: itself, and as many earlier ones as the window shows."""
        mask = causal(words, before, present, device)
        if self.window is None or before + words <= self.window:
            return mask
        order = torch.arange(before + words, device=device)
        near = (order[before:, None] - order[None, :] < self.window)[None, None]
        return near if mask is None else mask & near

    def _check(self, places: Int[Tensor, "b n"], *, longest: int) -> None:
        """Rows are counted, which waits for the device, only where padding may be what makes them long."""
        if longest > self.max_len and (tokens := int(places.max()) + 1) > self.max_len:
            raise ValueError(f"a text of {tokens} tokens for a model of at most {self.max_len}")


def _heard(state: Cache) -> list[tuple[KV, KV | None]]:
    """What was given and what has been said, for each layer."""
    return [(given, said) for given, said in zip(state.image, state.past, strict=True) if given is not None]


def _position(cfg: DecoderLM.Config) -> nn.Module:
    match cfg.position:
        case Learned() as learned:
            return learned.build(cfg.dim)
        case Rotary() as rotary:
            return rotary.build(cfg.dim // cfg.heads)


def _begin(model: DecoderLM, cfg: DecoderLM.Config) -> None:
    """Normal weights and zero biases: where all of these families start from."""
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=cfg.std)
        elif name.endswith(".bias"):
            nn.init.zeros_(weight)
    if cfg.start is Start.SHRUNK:
        for layer in model.layers:
            for added in (layer.attend.out, layer.mlp.down):
                nn.init.normal_(added.weight, std=cfg.std * (2 * cfg.depth) ** -0.5)
