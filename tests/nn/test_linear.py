"""Halves that are widened give what fp32 gives of the same numbers; where halves are welcome, nothing changes."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.nn import linear
from chiasm.nn.linear import Conv2d, Linear, restore, spare

HALVES = (torch.bfloat16, torch.float16)


class Tied(nn.Module):
    """What is multiplied, what is looked up, what is both, what is neither, and what another package has made."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = Linear(4, 4), Linear(4, 9, bias=False)
        self.word, self.norm = nn.Embedding(9, 4), nn.LayerNorm(4)
        self.head.weight = self.word.weight
        self.register_buffer("places", torch.ones(4))
        self.theirs = type("Theirs", (nn.Linear,), {"__module__": "transformers.models"})(2, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.inner(self.word(ids))))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rows", [1, 40])
@torch.no_grad()
def test_halves_under_wide_states_are_wide(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(0)
    part, x = Linear(64, 8), torch.randn(2, rows, 64)
    part.weight.data = part.weight.to(dtype)
    assert torch.equal(part(x), F.linear(x, part.weight.float(), part.bias))


@pytest.mark.parametrize("bias", [None, torch.randn(37)])
def test_what_is_large_is_widened_piece_by_piece(bias: Tensor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "LARGE", 100)
    monkeypatch.setattr(linear, "PIECE", 50)
    x, weight = torch.randn(2, 3, 6), torch.randn(37, 6).bfloat16()
    torch.testing.assert_close(linear.linear(x, weight, bias), F.linear(x, weight.float(), bias))


@torch.no_grad()
def test_equal_precisions_are_left_to_torch() -> None:
    for dtype in (*HALVES, torch.float32):
        part, x = Linear(4, 3).to(dtype), torch.ones(5, 4, dtype=dtype)
        assert torch.equal(part(x), F.linear(x, part.weight, part.bias))
        assert part(x).dtype == dtype


@torch.no_grad()
def test_a_stem_of_halves_under_wide_pictures() -> None:
    stem, x = Conv2d(3, 5, 2, stride=2), torch.randn(2, 3, 4, 4)
    stem.weight.data = stem.weight.bfloat16()
    assert torch.equal(stem(x), F.conv2d(x, stem.weight.float(), stem.bias, stride=2))


@pytest.mark.parametrize("dtype", HALVES)
@torch.no_grad()
def test_only_matrices_stay_halves(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CLUMSY", True)
    torch.manual_seed(0)
    part, ids = Tied().to(dtype), torch.arange(9)[None]
    before = {name: tensor.clone() for name, tensor in part.state_dict().items()}
    spared = spare(part)
    kinds = {name: tensor.dtype for name, tensor in part.state_dict().items()}
    assert [name for name, kind in kinds.items() if kind == dtype] == ["inner.weight", "theirs.weight", "theirs.bias"]
    assert part.head.weight is part.word.weight
    wide = Tied()
    wide.load_state_dict(before)
    assert torch.equal(part(ids), wide(ids))
    restore(spared)
    assert all(torch.equal(tensor, before[name]) for name, tensor in part.state_dict().items())
    assert {tensor.dtype for tensor in part.state_dict().values()} == {dtype}


@torch.no_grad()
def test_halves_that_come_to_a_spared_part_are_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CLUMSY", True)
    for part, x in ((Linear(4, 3), torch.ones(5, 4)), (Conv2d(3, 5, 2), torch.ones(1, 3, 4, 4))):
        spare(part.bfloat16())
        assert torch.equal(part(x.bfloat16()), part(x))
        assert part(x).dtype == torch.float32


def test_where_halves_are_welcome_nothing_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CLUMSY", False)
    part = Tied().bfloat16()
    assert not spare(part)
    assert {tensor.dtype for tensor in part.state_dict().values()} == {torch.bfloat16}


def test_what_learns_in_halves_gets_the_gradient_of_fp32() -> None:
    part, x = Linear(6, 3), torch.ones(9, 6)
    part.weight.data = part.weight.bfloat16()
    part(x).sum().backward()
    assert part.weight.grad is not None
    assert part.weight.grad.dtype == torch.bfloat16
    assert (part.weight.grad == 9).all()
