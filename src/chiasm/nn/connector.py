"""From an encoder's states to vectors that a language model takes for words.

LinearConnector     states ─ norm ─ linear                       every state by itself
QFormerConnector    states ─ norm ─ Q-Former (─ hint) ─ linear   as many vectors as it has queries
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.init import normal


class LinearConnector(nn.Module):
    """No Q-Former at all: the ablation of X-InstructBLIP (arXiv:2311.18799), and a good choice for very little data."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        eps: float = 1e-6

        @property
        def hinted(self) -> bool:
            """Whether it reads hints."""
            return False

        def build(self, dim: int, out: int) -> "LinearConnector":
            return LinearConnector(self, dim, out)

    def __init__(self, cfg: Config, dim: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=cfg.eps)
        self.project = nn.Linear(dim, out)
        normal(self.project, std=0.02)

    def forward(self, states: Float[Tensor, "b p c"], _hint: Text | None) -> Float[Tensor, "b p d"]:
        return self.project(self.norm(states))
