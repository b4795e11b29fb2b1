"""The twin follows by the paper's formula; the queue is a ring."""

import torch
from torch import nn

from chiasm.nn.momentum import Queue, Twin


def test_the_twin_follows_slowly_and_never_learns() -> None:
    torch.manual_seed(0)
    original = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    twin, start = Twin(original, momentum=0.9), original[0].weight.detach().clone()
    assert list(twin.parameters()) == []
    torch.testing.assert_close(twin(torch.ones(1, 3)), original(torch.ones(1, 3)).detach())
    with torch.no_grad():
        original[0].weight.add_(1.0)
    twin.follow()
    twin.follow()
    torch.testing.assert_close(twin.copy[0].weight, start + (1 - 0.9**2))
    assert not twin(torch.ones(1, 3)).requires_grad
    assert set(twin.state_dict()) == {f"copy.{name}" for name in original.state_dict()}
    twin.restart()
    assert torch.equal(twin.copy[0].weight, original[0].weight)


def test_the_queue_overwrites_the_oldest() -> None:
    queue = Queue(5, 2)
    torch.testing.assert_close(queue.vectors.norm(dim=-1), torch.ones(5))
    assert queue.identity.tolist() == [-1] * 5
    for first in (0, 3, 6):
        rows = torch.arange(first, first + 3)
        queue.push(rows[:, None].expand(-1, 2).float(), rows)
    assert queue.identity.tolist() == [5, 6, 7, 8, 4]
    assert queue.vectors[:, 0].tolist() == [5, 6, 7, 8, 4]


def test_more_than_fits_keeps_the_last() -> None:
    queue = Queue(2, 1)
    queue.push(torch.arange(5)[:, None].float(), torch.arange(5))
    assert sorted(queue.identity.tolist()) == [3, 4]
