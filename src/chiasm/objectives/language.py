"""Next-token prediction.

states ─ word head ─ logits ─ loss                       [m, v] logits, and as many gradients, at once
states ─ chunk by chunk: word head ─ loss ─ gradient     the same loss, a chunk of logits at a time
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def labelled(
    states: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
    """States that have a next token to predict, and that token: padding never reaches the word head."""
    learns = mask[:, 1:]
    return states[:, :-1][learns], ids[:, 1:][learns]


def next_token(logits: Float[Tensor, "n v"], target: Int[Tensor, " n"], *, smoothing: float) -> Float[Tensor, ""]:
    """Mean cross-entropy with label smoothing (0.1 in BLIP)."""
    return F.cross_entropy(logits, target, label_smoothing=smoothing)


def next_token_of(
    states: Float[Tensor, "m d"],
    target: Int[Tensor, " m"],
    head: Callable[[Tensor], Tensor],
    *,
    weights: Sequence[Tensor] = (),
    smoothing: float = 0.0,
    chunk: int = 128,
) -> Float[Tensor, ""]:
    """`next_token(head(states), target)`, of which never more than `chunk` rows of logits exist.

    Each chunk leaves its gradient behind at once, so that nothing is computed twice. `weights` are all tensors that
    may learn through the head: those of `module.parameters()`, say, of which others are left alone.
    """
    if not torch.is_grad_enabled():
        return _Chunked.apply(states.detach(), target, head, smoothing, chunk)
    learn = [weight for weight in weights if weight.requires_grad]
    if not learn and head(states[:1].detach()).requires_grad:
        raise ValueError("the word head learns, but its weights were not given: they would get no gradient")
    return _Chunked.apply(states, target, head, smoothing, chunk, *learn)


class _Chunked(torch.autograd.Function):
    """A mean over chunks whose gradients are computed in the forward pass; the backward pass only scales them."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, target: Tensor, head: Callable[[Tensor], Tensor], *more: Any) -> Tensor:
        smoothing, chunk, *weights = more
        learns = any(ctx.needs_input_grad)
        total = torch.zeros((), device=states.device)
        into: Tensor | None = torch.empty_like(states) if learns else None
        summed: list[Tensor | None] = [None for _ in weights]
        for start in range(0, len(states), chunk):
            rows = slice(start, start + chunk)
            with torch.set_grad_enabled(learns):
                leaf = states[rows].detach().requires_grad_(learns)
                loss, logits, towards = _of_logits(head(leaf), target[rows], smoothing, count=len(states))
            total += loss
            if into is not None:
                into[rows], *found = torch.autograd.grad(logits, [leaf, *weights], towards, allow_unused=True)
                summed = [_sum(*each) for each in zip(summed, found, strict=True)]
            del logits, towards  # or they would wait for those of the next chunk
        ctx.grads = into, summed
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        into, summed = ctx.grads
        del ctx.grads  # scaled where they lie: they are as large as the head
        return (into.mul_(grads[0]), *[None] * 4, *(None if held is None else held.mul_(grads[0]) for held in summed))


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    """None where a weight has nothing to do with the head."""
    return new if old is None or new is None else old.add_(new)


@torch.no_grad()
def _of_logits(
    logits: Float[Tensor, "n v"], target: Int[Tensor, " n"], smoothing: float, *, count: int
) -> tuple[Float[Tensor, ""], Float[Tensor, "n v"], Float[Tensor, "n v"]]:
    """The sum of their cross-entropies over `count`, they again, and its gradient: the softmax less what is right."""
    wide = logits.float()
    right, total = wide.gather(1, target[:, None]), wide.logsumexp(dim=1, keepdim=True)
    loss = (total - (1 - smoothing) * right - smoothing * wide.mean(dim=1, keepdim=True)).sum()
    towards = (wide - total).exp_().sub_(smoothing / logits.shape[1])
    towards.scatter_add_(1, target[:, None], torch.full_like(right, smoothing - 1))
    return loss / count, logits, towards.div_(count).to(logits.dtype)


def weighed(
    logits: Float[Tensor, "n v"],
    target: Int[Tensor, " n"] | Float[Tensor, "n v"],
    weights: Float[Tensor, " n"],
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The sum of cross-entropies, each by its weight; a target is a token, or what a teacher thinks of all."""
    return (F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing) * weights).sum()
