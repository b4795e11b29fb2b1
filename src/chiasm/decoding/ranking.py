"""Which of given texts a speaker would rather say, each shared beginning read once.

    candidates ─ first tokens ─ the likeliest k ─ their tree, a level at a time ─ summed log-probability

    red [SEP] ──────── red ──┬─ [SEP]
    red brick [SEP] ─        └─ brick ── [SEP]

This is how BLIP and ALBEF choose among the known answers of VQA (arXiv:2107.07651, section 5, as released).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.ability import Continues
from chiasm.core.types import Text
from chiasm.decoding.prompt import read

Words = tuple[int, ...]
Places = dict[Words, int]  # beginnings of a row that were read: where each stands


@dataclass(frozen=True)
class Ranked:
    """Candidates on the short list of one row, best first: where each stood, its score and its log-probability."""

    places: tuple[int, ...]
    scores: tuple[float, ...]
    logprobs: tuple[float, ...]


@torch.no_grad()
def rank(
    model: Continues,
    seen: Float[Tensor, "b p c"],
    opening: Text,
    candidates: Sequence[Sequence[int]],
    *,
    k: int,
    first: int = 1,
    smoothing: float = 0.0,
) -> list[Ranked]:
    """For each row of `seen` and its opening the `k` candidates whose first token is the likeliest, by all of it.

    Equals are never parted: a first token as likely as that of the last of them is on the list too.
    Candidates are tokens without start and end; the end counts. `first` is how often the first token of
    each does. A token's score is its log-probability, mixed by `smoothing` with the mean one of all
    tokens: the negative of a loss with smoothed labels. A row's result depends on no other row.
    """
    if k < 1:
        raise ValueError(f"k is {k}, and at least 1 candidate must be kept")
    if not candidates:
        raise ValueError("there are no candidates to choose from")
    texts = [(*words, model.end) for words in candidates]
    logits, state = read(model, seen, opening)
    every = logits.log_softmax(dim=1)
    begun = every[:, torch.tensor([text[0] for text in texts], device=seen.device)]
    begun, kept = begun.sort(dim=1, descending=True, stable=True)
    listed = begun >= begun[:, [min(k, len(texts)) - 1]]
    counts: list[int] = listed.sum(dim=1).tolist()
    begun, kept, listed = (part[:, : max(counts)] for part in (begun, kept, listed))
    mean = every.mean(dim=1, keepdim=True)
    chosen = [[texts[place] for place in row[:count]] for row, count in zip(kept.tolist(), counts, strict=True)]
    rest, means = _rest(model, state, chosen, seen.device)
    logprob = begun + rest
    scores = (1 - smoothing) * (first * begun + rest) + smoothing * (first * mean + means)
    order = scores.masked_fill(~listed, -torch.inf).argsort(dim=1, descending=True, stable=True)
    found = (part.gather(1, order).tolist() for part in (kept, scores, logprob))
    return [Ranked(*(tuple(part[:count]) for part in row)) for *row, count in zip(*found, counts, strict=True)]


def _rest(
    model: Continues, state: Any, chosen: Sequence[Sequence[Words]], home: torch.device
) -> Float[Tensor, "2 b k"]:
    """The log-probability of every text after its first token, and what it would be of a mean token in each place."""
    total = torch.zeros(2, len(chosen), max(map(len, chosen)), device=home)
    read: list[Places] = [{(): 0} for _ in chosen]
    for length in range(1, max(len(text) for row in chosen for text in row)):
        before, read = read, [_numbered(text[:length] for text in row if len(text) > length) for row in chosen]
        parents, ids = _grown(read, before, filling=model.end)
        width, old = len(ids) // len(chosen), max(1, *map(len, before))
        if parents != list(range(old * len(chosen))):
            state = state.select(torch.tensor(parents, device=home))
        logits, state = model.speak(torch.tensor(ids, device=home)[:, None], state)
        gained = [
            (i, j, i * width + read[i][text[:length]], text[length])
            for i, row in enumerate(chosen)
            for j, text in enumerate(row)
            if len(text) > length
        ]
        i, j, row, token = torch.tensor(gained, device=home).T
        every = logits.float().log_softmax(dim=1)
        total[:, i, j] += torch.stack([every[row, token], every.mean(dim=1)[row]])
    return total


def _numbered(beginnings: Iterable[Words]) -> Places:
    """Each of them once, in the order in which they come."""
    return {beginning: place for place, beginning in enumerate(dict.fromkeys(beginnings))}


def _grown(read: Sequence[Places], before: Sequence[Places], *, filling: int) -> tuple[list[int], list[int]]:
    """Of each beginning the one that it continues, and the token by which; every row gets as many."""
    width, old = (max(1, *map(len, places)) for places in (read, before))
    parents, ids = list[int](), list[int]()
    for i, places in enumerate(read):
        spare = width - len(places)
        parents += [i * old + before[i][beginning[:-1]] for beginning in places] + [i * old] * spare
        ids += [beginning[-1] for beginning in places] + [filling] * spare
    return parents, ids
