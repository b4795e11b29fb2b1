"""The schedule against a slow formula, the fused step against the plain one."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chiasm.training.optim import Schedule, adamw, clip, set_rate


@pytest.mark.parametrize("warmup", [0, 1, 7, 50, 60])
def test_rate_is_a_line_and_half_a_cosine(warmup: int) -> None:
    schedule = Schedule(steps=50, peak=3e-4, floor=1e-6, warmup=warmup)
    for step in range(50):
        if step < warmup:
            slow = sum(3e-4 / warmup for _ in range(step + 1))
        else:
            height = math.sin(math.pi / 2 * (1 - (step - warmup) / (50 - warmup))) ** 2  # half-angle form
            slow = 1e-6 + (3e-4 - 1e-6) * height
        assert schedule.rate(step) == pytest.approx(slow, rel=1e-9)
    if warmup < 50:
        assert schedule.rate(50) == pytest.approx(1e-6)
        assert max(schedule.rate(step) for step in range(50)) == pytest.approx(3e-4)


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(33, 17), nn.Linear(17, 5))


def grouped(model: nn.Module) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    return [
        {"params": matrices, "scale": 1.0, "weight_decay": 0.1},
        {"params": biases, "scale": 0.5, "weight_decay": 0.0},
    ]


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule) -> list[Tensor]:
    for step in range(schedule.steps):
        draw = torch.Generator().manual_seed(step)
        model(torch.randn(4, 33, generator=draw)).square().mean().backward()
        set_rate(optimizer, schedule.rate(step))
        optimizer.step()
        optimizer.zero_grad()
    return [p.detach() for p in model.parameters()]


def test_the_fused_step_is_deterministic_and_equals_the_plain_one() -> None:
    schedule = Schedule(steps=20, peak=1e-2, warmup=5)
    fused = [descend(model, adamw(grouped(model), betas=(0.9, 0.98)), schedule) for model in (layers(), layers())]
    assert all(torch.equal(a, b) for a, b in zip(*fused, strict=True))
    plain = layers()
    slow = torch.optim.AdamW(grouped(plain), lr=0.0, betas=(0.9, 0.98), foreach=False, fused=False)
    for a, b in zip(fused[0], descend(plain, slow, schedule), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_clip_is_one_norm_over_all() -> None:
    model = layers()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    count = sum(p.numel() for p in model.parameters())
    assert clip(model.parameters(), limit=1.0).item() == pytest.approx(0.5 * math.sqrt(count))
    after = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))
    assert after == pytest.approx(1.0, rel=1e-4)
    assert clip(model.parameters(), limit=5.0).item() == pytest.approx(1.0, rel=1e-4)
    assert after == pytest.approx(1.0, rel=1e-4)
