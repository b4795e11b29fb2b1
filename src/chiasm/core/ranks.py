"""The one door from a part to other processes; without a process group it leads nowhere.

Rows of a batch lie on the ranks one after the other. What a rank computes for its own rows against
the rows of all is what one process would compute for them, and so is the gradient, once the ranks
have averaged theirs. A mean over things that the ranks have different numbers of (words, say) is
`fair` to all of them.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

T = TypeVar("T")


class LostError(ConnectionError):
    """A process that we train with has ended, or does not answer."""


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them we are, from 0."""
    return dist.get_rank() if world() > 1 else 0


@torch.no_grad()
def gather(x: Tensor) -> Tensor:
    """Rows of all processes, in rank order and without gradient; each must bring as many."""
    if world() == 1:
        return x
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(world())]
    with _company():
        dist.all_gather(parts, x)
    return torch.cat(parts)


def gather_learning(x: Tensor) -> Tensor:
    """The same, and every process's rows get the gradient that all processes have for them."""
    return x if world() == 1 else _Gather.apply(x)


@torch.no_grad()
def agreed(x: Tensor) -> Tensor:
    """What rank 0 drew, for everyone; in place."""
    if world() > 1:
        with _company():
            dist.broadcast(x, src=0)
    return x


def ours(x: Tensor) -> Tensor:
    """Our rows of what rank 0 drew for the rows of all."""
    return agreed(x).tensor_split(world())[rank()]


@torch.no_grad()
def average(x: Tensor) -> Tensor:
    """The mean of what the processes have; in place."""
    if world() > 1:
        with _company():
            dist.all_reduce(x)
        x /= world()
    return x


def fair(mean: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
    """A mean over `count` things of ours, weighed so that the processes' average is the mean over everyone's.

    No things at all weigh nothing, though their mean is not a number.
    """
    if world() == 1:
        return mean
    share = average(torch.tensor(float(count), device=mean.device)).clamp(min=1 / world())
    return torch.where(torch.tensor(count > 0, device=mean.device), mean * (count / share), 0.0)


def told(value: T) -> T:
    """What rank 0 holds, for everyone: any object that pickles."""
    if world() == 1:
        return value
    held: list[Any] = [value]
    with _company():
        dist.broadcast_object_list(held, src=0)
    return held[0]


def everyones(value: T) -> list[T]:
    """What each process holds, in rank order: any object that pickles."""
    if world() == 1:
        return [value]
    held: list[Any] = [None] * world()
    with _company():
        dist.all_gather_object(held, value)
    return held


@contextmanager
def _company() -> Generator[None]:
    """Tell a process that is gone from an error of our own."""
    try:
        yield
    except RuntimeError as error:
        why = re.sub(r"^\[\S*\] ", "", str(error)).partition(". ")[0]
        raise LostError(
            f"a process that trains with this one has ended or does not answer ({why}): "
            "the same command goes on from the last checkpoint"
        ) from error


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        return gather(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        with _company():
            dist.all_reduce(total)
        return total[rank() * ctx.rows :][: ctx.rows]
