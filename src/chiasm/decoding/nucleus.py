"""Draws that depend on nothing but a row's own distribution, seed and step."""

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chiasm.decoding.stepwise import Choose
from chiasm.decoding.strategies import Nucleus

SHORTLIST = 128  # tokens among which a nucleus is looked for first: sorting 30,000 takes 20 times as long


def uniforms(seeds: Sequence[int], *, returns: int, steps: int) -> Float[Tensor, "n steps"]:
    """One number in [0, 1) for each step of each row; the rows of seed `s` come from (s, 0), (s, 1), ...

    A longer text begins like a shorter one, and more samples begin with the fewer.
    """
    rows = [(seed, row) for seed in seeds for row in range(returns)]
    return torch.stack([torch.rand(steps, generator=_generator(seed, row)) for seed, row in rows])


def draw(strategy: Nucleus, uniform: Float[Tensor, "n steps"]) -> Choose:
    """The choice of nucleus sampling, where row `i` uses `uniform[i, step]`."""

    def choose(scores: Float[Tensor, "n v"], rows: Int[Tensor, " n"], step: int) -> Int[Tensor, " n"]:
        return pick((scores / strategy.temperature).softmax(dim=1), uniform[rows, step, None], strategy.top_p)

    return choose


def pick(
    probabilities: Float[Tensor, "n v"], uniform: Float[Tensor, "n 1"], top_p: float, *, shortlist: int = SHORTLIST
) -> Int[Tensor, " n"]:
    """The token of each row's nucleus at which the running sum passes `uniform` of the nucleus's sum."""
    ordered, ids = probabilities.topk(min(shortlist, probabilities.shape[1]), dim=1)
    token = _pick(ordered, ids, uniform, top_p)
    wide = (ordered.sum(dim=1) < top_p).nonzero().squeeze(1)
    if len(wide) > 0:
        token[wide] = _pick(*probabilities[wide].sort(dim=1, descending=True), uniform[wide], top_p)
    return token


def _pick(
    ordered: Float[Tensor, "n m"], ids: Int[Tensor, "n m"], uniform: Float[Tensor, "n 1"], top_p: float
) -> Int[Tensor, " n"]:
    before = ordered.cumsum(dim=1) - ordered
    nucleus = ordered.masked_fill(before >= top_p, 0.0)
    reached = nucleus.cumsum(dim=1)
    place = torch.searchsorted(reached, uniform * reached[:, -1:], right=True)
    last = (nucleus > 0).sum(dim=1, keepdim=True) - 1  # where rounding lets a number near 1 pass the sum
    return ids.gather(1, place.minimum(last)).squeeze(1)


def _generator(seed: int, row: int) -> torch.Generator:
    """The CPU's, on every device: the same seed says the same everywhere."""
    digest = hashlib.blake2b(f"{seed}/{row}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big", signed=True))
