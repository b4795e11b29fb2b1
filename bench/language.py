"""A frozen language model beside what it is shown, 40 vectors a row: ours against transformers, on the same weights.

    python bench/language.py [--dtype bf16] [--family opt]    # prints lines of the table that docs/speed.md holds

The sizes are those of OPT 125M, or LLaMA's form of them with four heads of keys and values. Twenty tokens are said
and never the end. What learns is what it was shown: forward, loss over 24 labelled tokens a row, and back.
"""

from typing import Any, cast

import torch
from timing import DTYPES, Contest, asked, near, table
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from chiasm.archetypes.spliced import Heard, Teller
from chiasm.core.types import Text
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Limits
from chiasm.layouts import decoders as layouts
from chiasm.nn.decoder import DecoderLM
from chiasm.objectives.language import next_token_of
from chiasm.weights.state import assign
from chiasm.weights.translate import translate

SHOWN, NEW, SAID, NEVER = 40, 20, 24, 5
SIZES = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "initializer_range": 0.1}
IDS: dict[str, Any] = {"bos_token_id": None, "eos_token_id": NEVER, "pad_token_id": 0}
Tokens = list[list[int]]


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, jobs="greedy,beam,learn", family="llama", rows=4)
    theirs, ours = _made(told.family, DTYPES[told.dtype])
    rng = torch.Generator().manual_seed(1)
    ids = torch.randint(NEVER + 1, 30_000, (told.rows, SHOWN), generator=rng)
    contests = {
        "greedy": _said(f"{told.family}, 1 row, greedy", ours, theirs, ids[:1], beams=1),
        "beam": _said(f"{told.family}, {told.rows} rows, 5 beams", ours, theirs, ids, beams=5),
        "learn": _learned(f"{told.family}, {told.rows} rows, there and back", ours, theirs, ids),
    }
    table((contests[name] for name in told.jobs.split(",")), dtype=told.dtype, rounds=told.rounds)


def _made(family: str, dtype: torch.dtype) -> tuple[Any, DecoderLM]:
    torch.manual_seed(0)
    if family == "opt":
        theirs = OPTForCausalLM(OPTConfig(**SIZES, **IDS, init_std=0.1)).eval()
    else:
        theirs = LlamaForCausalLM(LlamaConfig(**SIZES, **IDS, num_key_value_heads=4, intermediate_size=2048)).eval()
    cfg = layouts.read(theirs.config.to_dict())
    ours = cfg.build().eval()
    assign(ours, translate(theirs.state_dict(), layouts.rules(cfg), source="theirs"), source="theirs")
    return theirs.to(dtype).requires_grad_(requires_grad=False), ours.to(dtype).requires_grad_(requires_grad=False)


def _said(title: str, ours: DecoderLM, theirs: Any, ids: Tensor, *, beams: int) -> Contest:
    prompt, limits = Text(ids, torch.ones_like(ids, dtype=torch.bool)), Limits(NEW, min_new_tokens=NEW)

    def us() -> Tokens:
        with torch.inference_mode():
            given = ours.embed(ids)
            teller = Teller(ours, Heard(*ours.listen(given, prompt.mask)), NEVER)
            return [list(one.ids) for (one,) in generate(teller, given, prompt, Beam(beams), limits)]

    def them() -> Tokens:
        with torch.inference_mode():
            more = {"num_beams": beams, "do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW}
            return theirs.generate(ids, attention_mask=prompt.mask.long(), **more)[:, SHOWN:].tolist()

    def compare(one: Tokens, other: Tokens) -> str:
        same = [a == b for row in zip(one, other, strict=True) for a, b in zip(*row, strict=True)]
        return f"{sum(same) / len(same):.0%} of tokens alike"

    return Contest(title, us, them, compare)


def _learned(title: str, ours: DecoderLM, theirs: Any, ids: Tensor) -> Contest:
    said = Text(ids[:, :SAID], torch.ones(len(ids), SAID, dtype=torch.bool))
    vectors, present = ours.embed(ids).detach(), torch.ones(ids.shape, dtype=torch.bool)

    def us() -> Tensor:
        shown = vectors.clone().requires_grad_()
        states = ours.predict(shown, present, said)
        next_token_of(states, said.ids.flatten(), ours.logits).backward()
        return cast(Tensor, shown.grad)

    def them() -> Tensor:
        shown = vectors.clone().requires_grad_()
        whole = torch.cat([shown, theirs.get_input_embeddings()(said.ids)], dim=1)
        labels = torch.cat([torch.full_like(ids, -100), said.ids], dim=1)
        theirs(inputs_embeds=whole, labels=labels).loss.backward()
        return cast(Tensor, shown.grad)

    return Contest(title, us, them, near)


if __name__ == "__main__":
    main()
