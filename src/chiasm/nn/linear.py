"""Linear maps for weights of half precision, also on processors that cannot multiply those.

    half x ─┐                              ┌─ a processor that multiplies halves, a GPU, or few rows ─┐
            ├─ as torch does it, or in fp32 ┤                                                         ├─ half
    half W ─┘                              └─ widen both ─ multiply ─ round ──────────────────────────┘

x86 without AVX-512 has no such instruction: torch then takes eight times as long as in fp32 (docs/speed.md).
Widening is exact, and sums are in fp32 either way, so only the order of a sum is another.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

CLUMSY = torch.backends.cpu.get_cpu_capability() == "AVX2"
FEW = 6  # rows below which widening the weights takes longer than it saves


def linear(
    x: Float[Tensor, "*n c"], weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None = None
) -> Float[Tensor, "*n d"]:
    """`x @ weight.T + bias`."""
    if not _widens(x) or x.numel() < FEW * x.shape[-1]:
        return F.linear(x, weight, bias)
    return F.linear(x.float(), weight.float(), None if bias is None else bias.float()).to(x.dtype)


class Linear(nn.Linear):
    """torch's, by the function above."""

    def forward(self, input: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d"]:  # noqa: A002 - torch's name for it
        return linear(input, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """torch's, in fp32 where halves are clumsy; a convolution has never few rows."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: A002 - torch's name for it
        if not _widens(input):
            return super().forward(input)
        bias = None if self.bias is None else self.bias.float()
        return self._conv_forward(input.float(), self.weight.float(), bias).to(input.dtype)


def _widens(x: Tensor) -> bool:
    return CLUMSY and x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16)
