"""Beam search: the best of several texts that grow side by side.

    picture ─┬─ a cat ────┐             ┌─ a cat sits ────┬─ go on
             ├─ a dog ────┼─ best of ───┼─ a cat on ──────┘
             └─ two cats ─┘  all next   └─ two cats [end] ── among the finished, by score / length ** penalty

A picture leaves the batch when its best running text, scored at its present length, beats none of its
finished ones. With a length penalty above 0 a longer text could still have won: this is the rule that
transformers follows by default, kept for equal results.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chiasm.core.ability import Continues
from chiasm.core.types import Text
from chiasm.decoding.constraints import constrain
from chiasm.decoding.prompt import opening, read
from chiasm.decoding.spoken import Spoken, cut
from chiasm.decoding.strategies import Beam, Limits


class Beams(NamedTuple):
    """`k` texts for each of `b` pictures; a score of minus infinity marks an empty place."""

    tokens: Int[Tensor, "b k t"]
    scores: Float[Tensor, "b k"]  # what texts compete by
    logprob: Float[Tensor, "b k"]  # what the model itself thinks of them
    parents: Int[Tensor, "b k"]  # the place that each text had one step ago

    def among(self, pictures: Int[Tensor, " m"]) -> "Beams":
        return Beams(*(part[pictures] for part in self))

    def pick(self, places: Int[Tensor, "b m"]) -> "Beams":
        pictures = torch.arange(len(places), device=places.device)[:, None]
        return Beams(*(part[pictures, places] for part in self))

    def best(self, k: int) -> "Beams":
        return self.pick(self.scores.topk(k, dim=1).indices)

    def where(self, allowed: Bool[Tensor, "b k"]) -> "Beams":
        return self._replace(scores=self.scores.masked_fill(~allowed, float("-inf")))

    def spoken(self, end: int, returns: int) -> list[list[Spoken]]:
        """The first `returns` texts of each picture."""
        possible = int(self.scores.isfinite().sum(dim=1).min())
        if possible < returns:
            raise ValueError(f"{returns} texts a picture were asked for and only {possible} found; ask for fewer")
        texts = cut(self.tokens[:, :returns].flatten(0, 1), self.logprob[:, :returns].flatten(), end)
        return [texts[i : i + returns] for i in range(0, len(texts), returns)]


def search(
    model: Continues, seen: Float[Tensor, "b p c"], prompt: Text, strategy: Beam, limits: Limits, *, returns: int
) -> list[list[Spoken]]:
    """The best `returns` texts for each picture, best first."""
    said, beams, end = opening(prompt), strategy.beams, model.end
    finished, running = start(said, beams=beams, steps=limits.max_new_tokens, end=end)
    pictures = torch.arange(len(said), device=said.device)  # those still in the batch
    logits, state = read(model, seen, prompt)
    for step in range(limits.max_new_tokens):
        length = (step + 1) ** strategy.length_penalty
        grown = grow(running, logits, said[pictures], limits, end=end, step=step)
        ended = (grown.tokens[:, :, step] == end) | (step + 1 == limits.max_new_tokens)
        running = grown.where(~ended).best(beams)
        best = add(finished.among(pictures), grown.where(ended), length)
        for whole, part in zip(finished, best, strict=True):
            whole[pictures] = part
        hopeful = running.scores[:, 0] / length > best.scores[:, -1]
        moved = hopeful & (running.parents != torch.arange(beams, device=said.device)).any(dim=1)
        some, every, reorder = torch.stack([hopeful.any(), hopeful.all(), moved.any()]).tolist()
        if not some:
            break
        if not every:
            kept = hopeful.nonzero().squeeze(1)
            running, pictures, state = running.among(kept), pictures[kept], state.keep(kept)
        if step == 0:
            state = state.spread(beams)
        elif reorder:
            rows = torch.arange(len(pictures), device=said.device)[:, None] * beams + running.parents
            state = state.select(rows.flatten())
        logits, state = model.speak(running.tokens[:, :, step].reshape(-1, 1), state)
        logits = logits.float()
    return finished.spoken(end, returns)


def start(said: Int[Tensor, "b s"], *, beams: int, steps: int, end: int) -> tuple[Beams, Beams]:
    """Nothing finished, and one empty text running: equal ones would grow equally."""
    tokens = said.new_full((len(said), beams, steps), end)
    nothing = torch.full((len(said), beams), float("-inf"), device=said.device)
    finished = Beams(tokens, nothing, torch.zeros_like(nothing), torch.zeros_like(tokens[:, :, 0]))
    first = torch.zeros_like(nothing[:, :1])
    return finished, finished._replace(scores=torch.cat([first, nothing[:, 1:]], dim=1))


def grow(
    running: Beams, logits: Float[Tensor, "n v"], said: Int[Tensor, "b s"], limits: Limits, *, end: int, step: int
) -> Beams:
    """The best continuations by one token: twice as many as beams, since one of each beam's may be an end.

    Full log-probabilities are never computed: the best logits and one logsumexp a row will do.
    """
    b, k = running.scores.shape
    rows = len(logits) // b  # 1 before the first token, then k
    past = torch.cat([said.repeat_interleave(rows, dim=0), running.tokens[:, :rows, :step].flatten(0, 1)], dim=1)
    total = logits.logsumexp(dim=1, keepdim=True)
    top, ids = constrain(logits, past, total, limits, end=end, step=step).topk(min(2 * k, logits.shape[1]), dim=1)
    gains = torch.stack([top - total, logits.gather(1, ids) - total]).view(2, b, rows, -1)
    scores, logprob = torch.stack([running.scores, running.logprob])[..., None] + gains
    best, places = scores.flatten(1).topk(min(2 * k, k * top.shape[1]), dim=1)
    grown = running.pick(parents := places // top.shape[1])
    tokens = ids.view(b, rows, -1).expand(b, k, -1).flatten(1).gather(1, places)
    grown.tokens[:, :, step] = tokens  # a copy by now
    return Beams(grown.tokens, best, logprob.flatten(1).gather(1, places), parents)


def add(finished: Beams, ended: Beams, length: float) -> Beams:
    """The best of what was finished before and what just ended; a text beyond the first `k` came in too late."""
    k = finished.scores.shape[1]
    scored = ended._replace(scores=ended.scores / length)
    return Beams(*(torch.cat([old, new[:, :k]], dim=1) for old, new in zip(finished, scored, strict=True))).best(k)
