"""How a sublayer joins the residual stream."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

Part = TypeVar("Part", bound=nn.Module)


class Stack(nn.ModuleList, Generic[Part]):
    """A `ModuleList` that knows what it holds."""

    def __iter__(self) -> Iterator[Part]:  # type: ignore[override] - torch says Module, we say which
        return cast(Iterator[Part], super().__iter__())


class PostNorm(nn.Module, Generic[Part]):
    """``norm(x + f(x, ...))``: the residual of BERT (arXiv:1810.04805)."""

    def __init__(self, f: Part, dim: int, *, eps: float = 1e-12, dropout: float = 0.0) -> None:
        super().__init__()
        self.f = f
        self.norm = nn.LayerNorm(dim, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n d"], *context: Any) -> Float[Tensor, "b n d"]:
        return self.norm(x + self.dropout(self.f(x, *context)))


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
