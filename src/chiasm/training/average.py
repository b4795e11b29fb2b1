"""What keeps the models of several processes one model: the same start, the same gradient, the same state.

    rank 0: its part of the batch ─ losses, gradient ─┐
    rank 1: its part of the batch ─ losses, gradient ─┴─ mean ─ the same step everywhere

Losses gather what they need inside of `forward` (core/ranks.py), so gradients are averaged here, once a
step, and no wrapper hides the model. Alone, nothing of this does anything.
"""

import zlib
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core import ranks
from chiasm.weights.state import state

BUCKET = 1 << 24  # numbers that travel together: 64 MiB in float32, twice that while they are copied


@torch.no_grad()
def average(parameters: Sequence[nn.Parameter], values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Give every process the mean of all gradients; return the mean of `values`.

    What no process used keeps no gradient, as in one process; what only some used counts as zero for
    the others.
    """
    if ranks.world() == 1:
        return values
    used = values.new_tensor([parameter.grad is not None for parameter in parameters])
    values, used = ranks.average(torch.cat([values, used])).split([len(values), len(used)])
    found = [parameter for parameter, share in zip(parameters, used.tolist(), strict=True) if share]
    for bucket in _buckets(found):
        grads = [torch.zeros_like(part) if part.grad is None else part.grad for part in bucket]
        flat = ranks.average(torch.cat([grad.reshape(-1) for grad in grads]))
        for parameter, grad in zip(bucket, flat.split([part.numel() for part in bucket]), strict=True):
            parameter.grad = grad.view_as(parameter)
    return values


def check_same(model: nn.Module) -> None:
    """Raise if the processes' weights and buffers are no longer the same to the bit."""
    if ranks.world() == 1:
        return
    sums = {name: _sum(tensor) for name, tensor in state(model).items()}
    first = ranks.told(sums)
    apart = {name for other in ranks.everyones(sums) for name in other if other[name] != first[name]}
    if apart:
        raise ValueError(
            f"the processes no longer have the same {', '.join(sorted(apart))}: what a graph draws or remembers in "
            "training must be agreed between ranks (core/ranks.py), and all must run on the same kind of machine"
        )


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterable[list[nn.Parameter]]:
    """Neighbours of one type, about `BUCKET` numbers at a time."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        full = sum(part.numel() for part in bucket) + parameter.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != parameter.dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def _sum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
