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
    grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    found = list[Tensor]()
    for bucket in _buckets([torch.cat([values, used]), *grads]):
        flat = ranks.average(torch.cat([part.reshape(-1) for part in bucket]))
        means = flat.split([*map(Tensor.numel, bucket)])
        found += [mean.view_as(part) for mean, part in zip(means, bucket, strict=True)]
    values, used = found[0].split([len(values), len(used)])
    for parameter, share, mean in zip(parameters, used.tolist(), found[1:], strict=True):
        parameter.grad = mean if share else None
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


def _buckets(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """Neighbours of one dtype."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        full = sum(map(Tensor.numel, bucket)) + tensor.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != tensor.dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _sum(tensor: Tensor) -> int:
    return zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
