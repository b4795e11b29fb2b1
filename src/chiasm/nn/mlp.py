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

    def __call__(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        match self:
            case Activation.GELU:
                return F.gelu(x)
            case Activation.QUICK_GELU:
                return x * torch.sigmoid(1.702 * x)


class MLP(nn.Module):
    """Linear, activation, linear."""

    def __init__(self, dim: int, hidden: int, activation: Activation = Activation.GELU) -> None:
        super().__init__()
        self.up = Linear(dim, hidden)
        self.down = Linear(hidden, dim)
        self.activation = activation

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return self.down(self.activation(self.up(x)))
