"""Captions of BLIP-base at 384 pixels, 20 new tokens each: ours against transformers, on the same weights.

    python bench/caption.py [--dtype bf16]    # prints lines of the table that docs/speed.md holds

From normalised pixels to tokens; the model never says the end, so that both go all the way. The picture encoder alone
is a line of its own.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from peers import START, captioners
from timing import DTYPES, Contest, asked, near, table
from torch import Tensor

from chiasm.archetypes.med import Captioner
from chiasm.core.types import Text
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Limits

NEW = 20
Tokens = list[list[int]]


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, jobs="greedy,beam,see", pictures=8)
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = captioners(Path(folder), dtype=DTYPES[told.dtype])
    pixels = torch.randn(told.pictures, 3, 384, 384, generator=torch.Generator().manual_seed(1)).to(DTYPES[told.dtype])
    contests = {
        "greedy": _said("caption, 1 picture, greedy", ours, theirs, pixels[:1], beams=1),
        "beam": _said(f"caption, {told.pictures} pictures, 3 beams", ours, theirs, pixels, beams=3),
        "see": _seen("picture encoder, 2 pictures", ours, theirs, pixels[:2]),
    }
    with torch.inference_mode():
        table((contests[name] for name in told.jobs.split(",")), dtype=told.dtype, rounds=told.rounds)


def _said(title: str, ours: Captioner, theirs: Any, pixels: Tensor, *, beams: int) -> Contest:
    given, ids = pixels.to(next(ours.parameters())), torch.full((len(pixels), 1), START)
    prompt = Text(ids, torch.ones_like(ids, dtype=torch.bool))

    def us() -> Tokens:
        said = generate(ours, ours.see(given), prompt, Beam(beams), Limits(NEW))
        return [list(one.ids) for (one,) in said]

    def them() -> Tokens:
        ids = theirs.generate(pixel_values=pixels, num_beams=beams, do_sample=False, max_new_tokens=NEW)
        return [row[-NEW:] for row in ids.tolist()]

    return Contest(title, us, them, _alike if pixels.dtype == torch.float32 else _shared)


def _seen(title: str, ours: Captioner, theirs: Any, pixels: Tensor) -> Contest:
    given = pixels.to(next(ours.parameters()))
    return Contest(
        title,
        lambda: ours.see(given),
        lambda: theirs.vision_model(pixel_values=pixels).last_hidden_state,
        near,
    )


def _alike(ours: Tokens, theirs: Tokens) -> str:
    if ours != theirs:
        raise SystemExit(f"the two do not agree: {_shared(ours, theirs)}")
    return f"the same tokens, {len({token for text in theirs for token in text})} different ones"


def _shared(ours: Tokens, theirs: Tokens) -> str:
    same = [a == b for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)]
    return f"{sum(same) / len(same):.0%} of tokens alike"


if __name__ == "__main__":
    main()
