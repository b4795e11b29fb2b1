"""Texts about pictures, from any model that speaks."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.ability import Continues
from chiasm.core.types import Text
from chiasm.decoding.beam import search
from chiasm.decoding.nucleus import draw, uniforms
from chiasm.decoding.spoken import Spoken
from chiasm.decoding.stepwise import likeliest, walk
from chiasm.decoding.strategies import Beam, Greedy, Limits, Nucleus, Strategy, check_returns


@torch.no_grad()
def generate(
    model: Continues,
    seen: Float[Tensor, "b p c"],
    prompt: Text,
    strategy: Strategy,
    limits: Limits,
    *,
    returns: int = 1,
    seeds: Sequence[int] | None = None,
) -> list[list[Spoken]]:
    """`returns` continuations of each row of `prompt`, about the picture in the same row of `seen`.

    Prompts begin with the model's start token, after padding on the left where they differ in length.
    Only `Nucleus` reads `seeds`, one a row: a row's texts depend on its own seed and never on its
    neighbours. Without seeds, torch's global generator supplies them.
    """
    _check(seen, prompt, strategy, returns, seeds)
    if len(prompt) == 0 or limits.max_new_tokens == 0:
        return [[Spoken((), 0.0)] * returns for _ in range(len(prompt))]
    match strategy:
        case Greedy() | Beam(beams=1):
            return walk(model, seen, prompt, likeliest, limits, returns=1)
        case Beam():
            return search(model, seen, prompt, strategy, limits, returns=returns)
        case Nucleus():
            known = torch.randint(2**62, (len(prompt),)).tolist() if seeds is None else seeds
            uniform = uniforms(known, returns=returns, steps=limits.max_new_tokens).to(seen.device)
            return walk(model, seen, prompt, draw(strategy, uniform), limits, returns=returns)


def _check(
    seen: Float[Tensor, "b p c"], prompt: Text, strategy: Strategy, returns: int, seeds: Sequence[int] | None
) -> None:
    if len(seen) != len(prompt):
        raise ValueError(f"{len(seen)} pictures and {len(prompt)} prompts: give one prompt a picture")
    if not bool(prompt.mask[:, -1:].all()):
        raise ValueError("a prompt ends in padding, and continues only what stands right before: pad on the left")
    if seeds is not None and len(seeds) != len(prompt):
        raise ValueError(f"{len(seeds)} seeds and {len(prompt)} prompts: give one seed a row")
    check_returns(strategy, returns)
