"""CLIP's text tower: read from left to right, so that the end has seen all of it (arXiv:2103.00020, section 2.4).

    words + position ─ (norm ─ attend to what came before ─ + ─ norm ─ MLP ─ +) x depth ─ norm ─ end of text

The end is the last real token of the mask. In OpenAI's vocabulary the mark of the end has the highest
id, so its code looks for the largest id: the same place, whatever follows it as padding.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.bert import causal
from chiasm.nn.block import PreNormLayer, Stack
from chiasm.nn.init import deep
from chiasm.nn.mlp import Activation


class TextTower(nn.Module):
    """A pre-norm transformer with a causal mask; padding stands on the right, where no word looks."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vocab: int
        dim: int
        depth: int
        heads: int
        max_len: int = 77
        expansion: float = 4.0  # width of the MLP over that of the stream
        activation: Activation = Activation.GELU
        eps: float = 1e-5
        end: int | None = None  # what ends a text, for those who go by ids: None is the largest, as in OpenAI's

        def build(self) -> "TextTower":
            return TextTower(self)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.word = nn.Embedding(cfg.vocab, cfg.dim)
        self.position = nn.Parameter(torch.empty(cfg.max_len, cfg.dim))
        hidden = round(cfg.expansion * cfg.dim)
        self.layers = Stack[PreNormLayer](
            PreNormLayer(cfg.dim, cfg.heads, hidden=hidden, activation=cfg.activation, eps=cfg.eps)
            for _ in range(cfg.depth)
        )
        self.norm = nn.LayerNorm(cfg.dim, eps=cfg.eps)
        deep([*self.layers], dim=cfg.dim)
        nn.init.normal_(self.word.weight, std=0.02)
        nn.init.normal_(self.position, std=0.01)

    def encode(self, text: Text) -> Float[Tensor, "b t d"]:
        """States of all words, each of which has seen those before it."""
        words = text.ids.shape[1]
        if words > len(self.position):
            raise ValueError(f"a text of {words} tokens for a model of at most {len(self.position)}")
        x, mask = self.word(text.ids) + self.position[:words], causal(words, 0, None, text.ids.device)
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x)

    def last(self, text: Text) -> Float[Tensor, "b d"]:
        """The state at the end of each text."""
        ends = text.mask.sum(dim=1) - 1
        return self.encode(text)[torch.arange(ends.shape[0], device=ends.device), ends]
