"""Linear maps for weights of half precision, also on processors that cannot multiply those.

    half x ─────────────┐
    half W ─────────────┴─ as torch does it ─ half         a GPU, a processor that multiplies halves

    fp32 x ─────────────┐
    half W ─ widen ─────┴─ multiply ─ fp32                 any other, after `spare`

x86 without AVX-512 has no instruction for halves: torch then takes eight times as long as in fp32 (docs/speed.md).
There only matrices stay halves, which is where the memory is, and states are never rounded: closer to fp32, and faster.
"""

from collections.abc import Iterator, Mapping
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

CLUMSY = torch.backends.cpu.get_cpu_capability() == "AVX2"
HALVES = (torch.bfloat16, torch.float16)
PIECE = 1 << 18  # weights to widen at a time: in fp32 they stay in the processor's cache
OWN = {"chiasm", "torch"}  # packages whose parts take states wider than their weights, or are made as wide
LARGE = 1 << 23  # weights from which on pieces pay: to ask for so much fresh memory takes longer than to multiply


def linear(
    x: Float[Tensor, "*n c"], weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"] | None = None
) -> Float[Tensor, "*n d"]:
    """`x @ weight.T + bias`, in the precision of `x` or of `bias` where that of `weight` is less."""
    kind = _kind(x, bias)
    if weight.dtype.itemsize >= kind.itemsize:
        return F.linear(x, weight, bias)
    x, bias = x.to(kind), None if bias is None else bias.to(kind)
    if weight.numel() < LARGE:
        return F.linear(x, weight.to(kind), bias)
    rows = max(1, PIECE // weight.shape[1])
    product = torch.cat([F.linear(x, piece.to(kind)) for piece in weight.split(rows)], dim=-1)
    return product if bias is None else product + bias


class Linear(nn.Linear):
    """torch's, by the function above."""

    def forward(self, input: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d"]:  # noqa: A002 - torch's name for it
        return linear(input, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """torch's, in the precision of its input or bias where that of its weights is less."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:  # noqa: A002 - torch's name for it
        kind = _kind(input, self.bias)
        if self.weight.dtype.itemsize >= kind.itemsize:
            return super().forward(input)
        bias = None if self.bias is None else self.bias.to(kind)
        return self._conv_forward(input.to(kind), self.weight.to(kind), bias)


def spare(module: nn.Module) -> Mapping[Tensor, torch.dtype]:
    """Where halves are clumsy, make fp32 of all that is no matrix of the parts above, in place; which, and what it was.

    What embeds words is not multiplied but where a word head shares it, which would widen all of it for every token.
    Models of other packages stay as they are.
    """
    if not CLUMSY:
        return {}
    parts = [*_own(module)]
    matrices = {id(part.weight) for part in parts if isinstance(part, Linear | Conv2d)}
    matrices -= {id(part.weight) for part in parts if isinstance(part, nn.Embedding)}
    tensors = chain.from_iterable((*part.parameters(recurse=False), *part.buffers(recurse=False)) for part in parts)
    others = {one: one.dtype for one in tensors if id(one) not in matrices}
    spared = {one: kind for one, kind in others.items() if kind in HALVES and one.device.type == "cpu"}
    for tensor in spared:
        tensor.data = tensor.data.float()
    return spared


def restore(spared: Mapping[Tensor, torch.dtype]) -> None:
    """As it was before `spare`."""
    for tensor, kind in spared.items():
        tensor.data = tensor.data.to(kind)


def _own(module: nn.Module) -> Iterator[nn.Module]:
    yield module
    for part in module.children():
        if type(part).__module__.partition(".")[0] in OWN:
            yield from _own(part)


def _kind(x: Tensor, bias: Tensor | None) -> torch.dtype:
    return x.dtype if bias is None or bias.dtype.itemsize < x.dtype.itemsize else bias.dtype
