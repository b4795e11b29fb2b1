"""Contrast of a batch with itself, both ways, without the matrix of all similarities.

    left [n d] ──┬─ a tile: some rows x all columns ─┬─ log-sum-exp of its rows
    right [m d] ─┘                                   └─ running log-sum-exp of all columns

Backward computes every tile once more instead of keeping it (arXiv:2410.17243, section 3.2, does so on many devices).
What a pair itself adds to the loss is the product of two vectors, and needs no tile.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 1 << 21  # entries


def contrast_pairs(
    image: Float[Tensor, "n d"], text: Float[Tensor, "n d"], identity: Int[Tensor, " n"]
) -> Float[Tensor, ""]:
    """The mean cross-entropy of rows and columns of `image @ text.T`, where equal identities share a label.

    One of the two is scaled already. The same as `contrast` with `shared_labels`, there and back.
    """
    _, group, count = identity.unique(return_inverse=True, return_counts=True)
    right = torch.zeros_like(text[: len(count)]).index_add(0, group, text) / count[:, None]
    return (log_sums(image, text) / 2 - (image * right[group]).sum()) / len(image)


def log_sums(left: Float[Tensor, "n d"], right: Float[Tensor, "m d"], *, tile: int = TILE) -> Float[Tensor, ""]:
    """The sum of the log-sum-exps of all rows and of all columns of `left @ right.T`."""
    return _LogSums.apply(left, right, max(1, tile // len(right)))


class _LogSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, height: int) -> Tensor:
        rows, columns = left.new_empty(len(left)), left.new_full((len(right),), -torch.inf)
        for start in range(0, len(left), height):
            part = slice(start, start + height)
            similar = left[part] @ right.T
            rows[part] = _log_sum(similar, dim=1)
            columns = torch.logaddexp(columns, _log_sum(similar, dim=0))
        ctx.save_for_backward(left, right, rows, columns)
        ctx.height = height
        return rows.sum() + columns.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override] - by decorator
        left, right, rows, columns = ctx.saved_tensors
        to_left, to_right = torch.empty_like(left), torch.zeros_like(right)
        for start in range(0, len(left), ctx.height):
            part = slice(start, start + ctx.height)
            similar = left[part] @ right.T
            share = (similar - rows[part, None]).exp_().add_(similar.sub_(columns).exp_())
            torch.mm(share, right, out=to_left[part])
            to_right.addmm_(share.T, left[part])
        return to_left.mul_(gradients[0]), to_right.mul_(gradients[0]), None


def _log_sum(x: Float[Tensor, "n m"], *, dim: int) -> Float[Tensor, " _"]:
    """As `logsumexp` of torch, two or three times as fast on a CPU."""
    most = x.amax(dim=dim, keepdim=True)
    return (x - most).exp_().sum(dim=dim).log_().add_(most.squeeze(dim))
