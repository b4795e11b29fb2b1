"""Next-token loss equals a slow loop over real words."""

import torch

from chiasm.objectives.language import labelled, next_token, weighed


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
