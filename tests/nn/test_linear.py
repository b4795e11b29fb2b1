"""Widened products are the exact ones, rounded once; fp32 and few rows are left to torch."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chiasm.nn import linear
from chiasm.nn.linear import Conv2d, Linear

HALVES = (torch.bfloat16, torch.float16)


@pytest.fixture(params=[True, False])
def clumsy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(linear, "CLUMSY", request.param)
    return request.param


def exact(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (x.double() @ weight.double().T + bias.double()).to(x.dtype)


@pytest.mark.usefixtures("clumsy")
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rows", [1, 40])
@torch.no_grad()
def test_a_product_of_halves_is_the_exact_one_rounded(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(0)
    part, x = Linear(64, 8).to(dtype), torch.randn(2, rows, 64).to(dtype)
    assert part(x).dtype == dtype
    one_step = 2 * torch.finfo(dtype).eps  # in case two sums lie on either side of a half
    torch.testing.assert_close(part(x), exact(x, part.weight, part.bias), rtol=one_step, atol=one_step)


@torch.no_grad()
def test_only_many_halves_are_widened(clumsy: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a fixture
    seen = list[torch.dtype]()
    plain = F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: seen.append(x.dtype) or plain(x, *rest))
    for dtype, rows in ((torch.bfloat16, 40), (torch.bfloat16, 1), (torch.float32, 40)):
        Linear(4, 4).to(dtype)(torch.ones(rows, 4, dtype=dtype))
    assert seen == [torch.float32 if clumsy else torch.bfloat16, torch.bfloat16, torch.float32]


@pytest.mark.usefixtures("clumsy")
@torch.no_grad()
def test_a_stem_of_halves_is_the_exact_one_rounded() -> None:
    torch.manual_seed(0)
    stem, x = Conv2d(3, 5, 2, stride=2), torch.randn(2, 3, 4, 4).bfloat16().float()
    stem.bfloat16()
    wide = F.conv2d(x, stem.weight.float(), stem.bias.float(), stride=2).bfloat16()
    assert stem(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(stem(x.bfloat16()), wide, rtol=0.02, atol=0.02)


def test_what_learns_in_halves_gets_the_gradient_of_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CLUMSY", True)
    part, x = Linear(6, 3).bfloat16(), torch.ones(9, 6, dtype=torch.bfloat16)
    part(x).sum().backward()
    assert part.weight.grad is not None
    assert part.weight.grad.dtype == torch.bfloat16
    assert (part.weight.grad == 9).all()
