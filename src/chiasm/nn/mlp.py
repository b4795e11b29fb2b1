"""Feed-forward sublayers."""

from enum import Enum, auto

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.nn.linear import Linear


class Activation(Enum):
    """What bends between the two linear maps."""

    GELU = auto()  # arXiv:1606.08415
    QUICK_GELU = auto()  # its sigmoid approximation (section 2 of the same paper), with which OpenAI's CLIP was trained
    TANH_GELU = auto()  # its other approximation there: GPT-2, and T5 from 1.1 on
    RELU = auto()
    SILU = auto()  # x * sigmoid(x): LLaMA and its kin

    def __call__(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        match self:
            case Activation.GELU:
                return F.gelu(x)
            case Activation.QUICK_GELU:
                return x * torch.sigmoid(1.702 * x)
            case Activation.TANH_GELU:
                return F.gelu(x, approximate="tanh")
            case Activation.RELU:
                return F.relu(x)
            case Activation.SILU:
                return F.silu(x)


class MLP(nn.Module):
    """Linear, activation, linear."""

    def __init__(self, dim: int, hidden: int, activation: Activation = Activation.GELU) -> None:
        super().__init__()
        self.up = Linear(dim, hidden)
        self.down = Linear(hidden, dim)
        self.activation = activation

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.down(self.activation(self.up(x)))


class BareMLP(nn.Module):
    """An `MLP` without biases; a part of what bends may be dropped (arXiv:1910.10683)."""

    def __init__(self, dim: int, hidden: int, activation: Activation, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = Linear(dim, hidden, bias=False)
        self.down = Linear(hidden, dim, bias=False)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.down(self.dropout(self.activation(self.up(x))))


class GatedMLP(nn.Module):
    """What bends one linear map weighs another: GLU and its variants (arXiv:2002.05202), never with biases here."""

    def __init__(self, dim: int, hidden: int, activation: Activation, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.gate = Linear(dim, hidden, bias=False)
        self.up = Linear(dim, hidden, bias=False)
        self.down = Linear(hidden, dim, bias=False)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.down(self.dropout(self.activation(self.gate(x)) * self.up(x)))
