"""From an encoder's states to vectors that a language model takes for words.

LinearConnector     states ─ norm ─ linear                       every state by itself
QFormerConnector    states ─ norm ─ Q-Former (─ hint) ─ linear   as many vectors as it has queries
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.init import normal
from chiasm.nn.qformer import QFormer


class LinearConnector(nn.Module):
    """No Q-Former at all: the ablation of X-InstructBLIP (arXiv:2311.18799), and a good choice for very little data."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        eps: float = 1e-6

        @property
        def hinted(self) -> bool:
            """Whether it reads hints."""
            return False

        def worded(self, _vocab: int) -> "LinearConnector.Config":
            """The same for another vocabulary."""
            return self

        def build(self, dim: int, out: int) -> "LinearConnector":
            return LinearConnector(self, dim, out)

    def __init__(self, cfg: Config, dim: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=cfg.eps)
        self.project = nn.Linear(dim, out)
        normal(self.project, std=0.02)

    def forward(self, states: Float[Tensor, "b p c"], _hint: Text | None) -> Float[Tensor, "b p d"]:
        return self.project(self.norm(states))


class QFormerConnector(nn.Module):
    """The queries of a Q-Former, however many states there are; a hint, if the Q-Former reads, says what to look for.

    BLIP-2 (arXiv:2301.12597, section 3.3) gives none, InstructBLIP (arXiv:2305.06500, section 2.3) the instruction.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        qformer: QFormer.Config
        eps: float = 1e-6

        @property
        def hinted(self) -> bool:
            """Whether it reads hints."""
            return self.qformer.text is not None

        def worded(self, vocab: int) -> "QFormerConnector.Config":
            """The same for another vocabulary."""
            return replace(self, qformer=self.qformer.worded(vocab))

        def build(self, dim: int, out: int) -> "QFormerConnector":
            if dim != self.qformer.image_dim:
                raise ValueError(f"the Q-Former reads states of width {self.qformer.image_dim}, but these have {dim}")
            return QFormerConnector(self, out)

    def __init__(self, cfg: Config, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(cfg.qformer.image_dim, eps=cfg.eps)
        self.qformer = cfg.qformer.build()
        if self.qformer.text is not None:  # nobody asks for words after the last layer
            self.qformer.text.think[-1].requires_grad_(requires_grad=False)
        self.project = nn.Linear(cfg.qformer.dim, out)
        normal(self.project, std=0.02)

    def forward(self, states: Float[Tensor, "b p c"], hint: Text | None) -> Float[Tensor, "b q d"]:
        return self.project(self.look(states, hint))

    def look(self, states: Float[Tensor, "b p c"], hint: Text | None) -> Float[Tensor, "b q d"]:
        """What the queries find, before it is put into the language model's words."""
        memory = self.qformer.recall(self.norm(states))
        return self.qformer.look(memory).states if hint is None else self.qformer.together(memory, hint)
