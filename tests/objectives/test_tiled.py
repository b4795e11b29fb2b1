"""Tiles say what the whole matrix says: loss, gradients, shared labels; nothing larger than a tile is made."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from chiasm.objectives import tiled
from chiasm.objectives.contrastive import contrast, shared_labels
from chiasm.objectives.tiled import contrast_pairs, log_sums

IDENTITY = torch.tensor([3, 5, 3, 8, 9, 3, 5])


def vectors(rows: int = 7) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return F.normalize(torch.randn(rows, 4), dim=1), F.normalize(torch.randn(rows, 4), dim=1)


def slow(image: Tensor, text: Tensor, identity: Tensor) -> Tensor:
    logits, labels = image @ text.T, shared_labels(identity[:, None] == identity[None, :])
    return (contrast(logits, labels) + contrast(logits.T, labels)) / 2


@pytest.mark.parametrize("identity", [torch.arange(7), IDENTITY, torch.zeros(7, dtype=torch.long)])
@pytest.mark.parametrize("tile", [1, 7, 21, 1000])  # rows of one, one, three and all at a time
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_loss_and_gradients_are_those_of_the_matrix(
    identity: Tensor, tile: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled.log_sums, "__kwdefaults__", {"tile": tile})
    found = list[tuple[Tensor, ...]]()
    for loss_of in (contrast_pairs, slow):
        image, text, factor = *(part.requires_grad_() for part in vectors()), torch.tensor(scale, requires_grad=True)
        loss = loss_of(factor * image, text, identity)
        (3 * loss).backward()
        found.append((loss, image.grad, text.grad, factor.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_differences() -> None:
    left, right = (part.double().requires_grad_() for part in vectors())
    torch.autograd.gradcheck(lambda a, b: log_sums(a, b[:5], tile=10), (left, right))


def test_far_apart_logits_do_not_overflow() -> None:
    left, right = torch.tensor([[1000.0], [-1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    total = log_sums(left, right, tile=2)
    total.backward()
    assert total.item() == 4000.0
    assert left.grad.tolist() == [[2.0], [-2.0]]


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    entries = 0

    def __torch_dispatch__(self, func: object, _types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        made = func(*args, **(kwargs or {}))
        self.entries = max([self.entries, *(one.numel() for one in [made] if isinstance(one, Tensor))])
        return made


def test_nothing_is_larger_than_a_tile() -> None:
    image, text = (part.requires_grad_() for part in vectors(64))
    with _Largest() as seen:
        log_sums(image, text, tile=512).backward()
    assert seen.entries == 512
