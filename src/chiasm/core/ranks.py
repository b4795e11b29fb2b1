"""The one door from a part to other processes; without a process group it leads nowhere.

    gather      rows of all, for all            rank 0:  a b ─┐     ┌─ a b c d
                                                rank 1:  c d ─┴─────┴─ a b c d
    ask         rows that somebody asked for    rank 0:  a b ─┬─ wants 3 0 ── d a
                                                rank 1:  c d ─┴─ wants 2 1 ── c b

Rows of a batch lie on the ranks one after the other. What a rank computes for its own rows against
the rows of all is what one process would compute for them, and so is the gradient, once the ranks
have averaged theirs. A mean over things that the ranks have different numbers of (words, say) is
`fair` to all of them. A meeting costs waiting more than bytes: what can travel together should.
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
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


def gather(x: Tensor) -> Tensor:
    """Rows of all processes, in rank order and without gradient; each must bring as many."""
    return gather_all(x)[0]


@torch.no_grad()
def gather_all(*given: Tensor) -> tuple[Tensor, ...]:
    """The same of several things with as many rows, in one meeting."""
    if world() == 1:
        return given
    flat = [x.reshape(len(x), -1).contiguous().view(torch.uint8) for x in given]  # gloo knows no booleans either
    packed = torch.cat(flat, dim=1)
    parts = [torch.empty_like(packed) for _ in range(world())]
    with _company():
        dist.all_gather(parts, packed)
    found = torch.cat(parts).split([each.shape[1] for each in flat], dim=1)
    return tuple(
        each.contiguous().view(x.dtype).reshape(-1, *x.shape[1:]) for each, x in zip(found, given, strict=True)
    )


def gather_learning(x: Tensor) -> Tensor:
    """Rows of all processes; each one's rows get the gradient that all processes have for them."""
    return x if world() == 1 else _Gather.apply(x)


@dataclass(frozen=True)
class Asked:
    """Numbers of rows among those of all processes: what each wants, and which are ours."""

    by: Int[Tensor, "w n"]

    @property
    def ours(self) -> Int[Tensor, " n"]:
        """What we want."""
        return self.by[rank()]

    def of(self, x: Tensor) -> Tensor:
        """The rows that we asked for, of what each process has its part of; its rows get everyone's gradient.

        Only these rows travel, so it does not matter how many processes there are.
        """
        if world() == 1:
            return x[self.ours]
        owner, row = self.by // len(x), self.by % len(x)
        wanted = [row[other][owner[other] == rank()] for other in range(world())]
        sent, got = [len(each) for each in wanted], owner[rank()].bincount(minlength=world()).tolist()
        arrived = owner[rank()].argsort(stable=True)  # in this order, so it is undone
        return _Swap.apply(x[torch.cat(wanted)], sent, got)[arrived.argsort()]


def ask(*wanted: Int[Tensor, " n"]) -> tuple[Asked, ...]:
    """Tell everyone which rows we want; each wants as many."""
    return tuple(Asked(each.view(world(), -1)) for each in gather_all(*wanted))


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


class _Swap(torch.autograd.Function):
    """Rows for each process, one process after the other, become rows from each; gradients go the other way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sent: list[int], got: list[int]) -> Tensor:
        ctx.splits = sent, got
        return _swapped(x, sent, got)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        sent, got = ctx.splits
        return _swapped(grads[0], got, sent), None, None


def _swapped(x: Tensor, sent: list[int], got: list[int]) -> Tensor:
    found = x.new_empty(sum(got), *x.shape[1:])
    with _company():
        dist.all_to_all_single(found, x.contiguous(), got, sent)
    return found
