"""How sublayers join the residual stream."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from chiasm.nn.attention import Attention
from chiasm.nn.mlp import MLP, Activation

Part = TypeVar("Part", bound=nn.Module)


class Stack(nn.ModuleList, Generic[Part]):
    """A `ModuleList` that knows what it holds."""

    def __iter__(self) -> Iterator[Part]:  # type: ignore[override] - torch says Module, we say which
        return cast(Iterator[Part], super().__iter__())


class PostNorm(nn.Module, Generic[Part]):
    """``norm(x + f(x, ...))``: the residual of BERT (arXiv:1810.04805).

    With `residual` above 1, ``norm(residual * x + f(x, ...))``: DeepNorm (arXiv:2203.00555).
    """

    def __init__(self, f: Part, dim: int, *, eps: float = 1e-12, dropout: float = 0.0, residual: float = 1.0) -> None:
        super().__init__()
        self.f = f
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.residual = residual

    def forward(self, x: Float[Tensor, "b n d"], *context: Any) -> Float[Tensor, "b n d"]:
        return self.norm(torch.add(self.dropout(self.f(x, *context)), x, alpha=self.residual))


class DropPath(nn.Module):
    """Stochastic depth: leaves a whole row's residual out, with this probability (arXiv:1603.09382)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        if not self.training or self.probability == 0.0:
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.probability
        return x * kept.to(x.dtype) / (1.0 - self.probability)


class PreNormLayer(nn.Module):
    """Attend, then think, each beside the residual and after its own norm (arXiv:2010.11929, equations 2 and 3)."""

    def __init__(
        self, dim: int, heads: int, *, hidden: int, activation: Activation, eps: float, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.attend_norm = nn.LayerNorm(dim, eps=eps)
        self.attend = Attention(dim, heads)
        self.mlp_norm = nn.LayerNorm(dim, eps=eps)
        self.mlp = MLP(dim, hidden, activation)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "#b 1 n n"] | None = None
    ) -> Float[Tensor, "b n d"]:
        seen = self.attend_norm(x)
        x = x + self.drop_path(self.attend(seen, self.attend.remember(seen), mask))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))
