"""One token after the other, never looking back: what greedy and nucleus decoding share.

    prompt ─ speak ─ constrain ─ choose ─┬─ token ─ speak ─ ...
                                         └─ end

A picture leaves the batch when all of its rows have ended; a row that waits for others is filled with ends.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chiasm.core.ability import Continues
from chiasm.core.types import Text
from chiasm.decoding.constraints import constrain
from chiasm.decoding.prompt import opening, read
from chiasm.decoding.spoken import Spoken, cut
from chiasm.decoding.strategies import Limits

Choose = Callable[[Tensor, Tensor, int], Tensor]  # scores [n v], numbers of the rows [n], step -> tokens [n]


def likeliest(scores: Float[Tensor, "n v"], _rows: Int[Tensor, " n"], _step: int) -> Int[Tensor, " n"]:
    """The greedy choice; of equals the first."""
    return scores.argmax(dim=1)


def walk(
    model: Continues, seen: Float[Tensor, "b p c"], prompt: Text, choose: Choose, limits: Limits, *, returns: int
) -> list[list[Spoken]]:
    """`returns` texts for each picture, each the result of one choice after the other."""
    said, end = opening(prompt).repeat_interleave(returns, dim=0), model.end
    tokens = said.new_full((len(said), limits.max_new_tokens), end)
    logprob = seen.new_zeros(len(said), dtype=torch.float32)
    rows = torch.arange(len(said), device=said.device)  # those still in the batch
    logits, state = read(model, seen, prompt)
    if returns > 1:
        logits, state = logits.repeat_interleave(returns, dim=0), state.spread(returns)
    for step in range(limits.max_new_tokens):
        past = torch.cat([said[rows], tokens[rows, :step]], dim=1)
        scores = constrain(logits, past, torch.zeros_like(logits[:, :1]), limits, end=end, step=step)
        ended = (tokens[rows, :step] == end).any(dim=1)
        token = choose(scores, rows, step).masked_fill(ended, end)
        gain = logits.gather(1, token[:, None]).squeeze(1) - logits.logsumexp(dim=1)
        tokens[rows, step], logprob[rows] = token, logprob[rows] + gain.masked_fill(ended, 0.0)
        unfinished = (token != end).unflatten(0, (-1, returns)).any(dim=1).nonzero().squeeze(1)
        if len(unfinished) == 0 or step + 1 == limits.max_new_tokens:
            break
        if len(unfinished) * returns < len(rows):
            state, rows = state.keep(unfinished), rows.view(-1, returns)[unfinished].flatten()
        logits, state = model.speak(tokens[rows, step, None], state)
        logits = logits.float()
    spoken = cut(tokens, logprob, end)
    return [spoken[i : i + returns] for i in range(0, len(spoken), returns)]
