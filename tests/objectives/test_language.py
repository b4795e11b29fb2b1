"""Next-token loss equals a slow loop over real words, and in chunks it is what it is at once."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from chiasm.objectives.language import labelled, next_token, next_token_of, weighed


def test_only_real_next_words_count() -> None:
    torch.manual_seed(0)
    states, ids = torch.randn(2, 4, 3), torch.randint(3, (2, 4))
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    kept, target = labelled(states, ids, mask)
    logits = torch.randn(3, 3)[target] + kept
    pairs = [(states[b, t], ids[b, t + 1]) for b in range(2) for t in range(3) if mask[b, t + 1]]
    assert torch.equal(kept, torch.stack([state for state, _ in pairs]))
    assert target.tolist() == [int(word) for _, word in pairs]
    total = 0.0
    for row, word in zip(logits, target, strict=True):
        logs = row.log_softmax(0)
        total -= 0.9 * logs[word] + 0.1 * logs.mean()
    torch.testing.assert_close(next_token(logits, target, smoothing=0.1), total / len(target))


def test_weighed_is_a_loop_over_tokens_or_over_a_teacher_s_beliefs() -> None:
    torch.manual_seed(0)
    logits, target, weights = torch.randn(4, 6, requires_grad=True), torch.tensor([1, 0, 5, 5]), torch.rand(4)
    belief, logs = torch.randn(4, 6).softmax(1), logits.log_softmax(1)
    told = -sum(weights[i] * (0.9 * logs[i, target[i]] + 0.1 * logs[i].mean()) for i in range(4))
    taught = -sum(weights[i] * (belief[i] @ logs[i]) for i in range(4))
    torch.testing.assert_close(weighed(logits, target, weights, smoothing=0.1), told)
    torch.testing.assert_close(weighed(logits, belief, weights), taught)
    weighed(logits, target, weights).backward()
    assert logits.grad is not None
    assert (logits.grad[torch.arange(4), target] < 0).all()  # the right token is pulled up
    assert weighed(logits, target, torch.zeros(4)) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [1, 3, 7, 8])
def test_in_chunks_it_is_what_it_is_at_once(chunk: int, smoothing: float) -> None:
    """There and back: for a head of two layers, one of them frozen, with weights that it does not use beside it."""
    torch.manual_seed(0)
    head, unused = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 11)), nn.Linear(2, 2)
    head[0].bias.requires_grad_(requires_grad=False)
    states, target = torch.randn(7, 5, requires_grad=True), torch.randint(11, (7,))
    weights = [states, *head.parameters()]

    def back(loss: Tensor) -> list[Tensor | None]:
        for weight in weights:
            weight.grad = None
        (3 * loss).backward()
        return [weight.grad for weight in weights]

    plain = next_token(head(states), target, smoothing=smoothing)
    expected = back(plain)
    every = (*head.parameters(), *unused.parameters())
    loss = next_token_of(states, target, head, weights=every, smoothing=smoothing, chunk=chunk)
    torch.testing.assert_close(loss, plain)
    for found, wanted in zip(back(loss), expected, strict=True):
        assert (found is None) == (wanted is None)
        torch.testing.assert_close(found, wanted)
    assert unused.weight.grad is None


def test_in_chunks_without_gradients() -> None:
    states, target, weight = torch.randn(7, 5), torch.randint(11, (7,)), torch.randn(11, 5)
    loss = next_token_of(states, target, lambda x: x @ weight.T, chunk=2)
    torch.testing.assert_close(loss, next_token(states @ weight.T, target, smoothing=0.0))
    assert not loss.requires_grad
    with torch.no_grad():
        learning = next_token_of(states.requires_grad_(), target, lambda x: x @ weight.T, chunk=2)
    torch.testing.assert_close(learning, loss)


def test_never_more_logits_than_a_chunk_and_none_twice() -> None:
    seen, weight = list[int](), torch.randn(11, 5)

    def head(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x @ weight.T

    states = torch.randn(8, 5, requires_grad=True)
    next_token_of(states, torch.zeros(8, dtype=torch.long), head, chunk=3).backward()
    assert seen == [1, 3, 3, 2]  # the first asks whether the head learns


def test_halves_are_summed_in_fp32() -> None:
    states, target, weight = torch.randn(7, 5), torch.randint(11, (7,)), torch.randn(11, 5)
    half = states.bfloat16().requires_grad_()
    loss = next_token_of(half, target, lambda x: x @ weight.bfloat16().T, chunk=2)
    loss.backward()
    assert (loss.dtype, half.grad is not None and half.grad.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(loss, next_token(states @ weight.T, target, smoothing=0.0), rtol=0.05, atol=0.05)


def test_a_head_that_would_not_learn_is_noticed() -> None:
    with pytest.raises(ValueError, match="the word head learns, but its weights were not given"):
        next_token_of(torch.randn(2, 5), torch.zeros(2, dtype=torch.long), nn.Linear(5, 11))


# in a process of its own: the loss there and back, and how far the peak lies above the start, weights warm
PROBE = """
import sys, torch
from chiasm.objectives.language import next_token, next_token_of
def at(kind):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(kind))
torch.set_num_threads(1)
weight, target = torch.randn(20_000, 64), torch.zeros(1024, dtype=torch.long)
states = torch.randn(1024, 64, requires_grad=True)
head = lambda x: x @ weight.T
plain = lambda states, target: next_token(head(states), target, smoothing=0.0)
chunked = lambda states, target: next_token_of(states, target, head)
for loss in (plain, chunked):
    loss(states[:8], target[:8]).backward()
before = at("VmRSS")
(plain if sys.argv[1] == "plain" else chunked)(states, target).backward()
print(at("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's own account of memory")
def test_the_peak_is_that_of_a_chunk() -> None:
    """All logits are 82 MB, and a chunk of an eighth is kept three times; what is freed may come back late."""
    peaks = [
        min(
            int(subprocess.run([sys.executable, "-c", PROBE, how], check=True, capture_output=True, text=True).stdout)
            for _ in range(3)
        )
        for how in ("plain", "chunked")
    ]
    assert peaks[0] > 2 * 1024 * 20_000 * 4 > 3 * peaks[1], peaks
