"""CLIP on pairs of your own or the made world: one stage, contrast alone.

chiasm train recipes/clip.py                                                  # the made world
chiasm train recipes/clip.py --data photos/ --pixels 64 --out runs/photos     # your own
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import nn

from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import subset
from chiasm.data.text import Tokenizer
from chiasm.nn.vit import SOONER
from chiasm.systems import clip
from chiasm.training.run import Run

HELD = 20  # one pair in so many is kept aside to validate on


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000&phrasings=4"
    """Pairs: whatever docs/data.md lists; `mix:3*A + 1*B` mixes."""
    pixels: int = 32
    """Side of the pictures, a multiple of 8."""
    steps: int = 800
    batch: int = 128
    """The other texts of a batch are all that a picture learns from."""
    lr: float = 1.5e-3
    seed: int = 0


def runs(options: Options) -> tuple[Run, ...]:
    """Pre-training, which is all there is."""
    pairs = open_source(options.data)
    held = subset(pairs, range(0, len(pairs), HELD))
    rest = subset(pairs, [row for row in range(len(pairs)) if row % HELD])
    words = Tokenizer.train((rest[row].text for row in range(len(rest))), vocab=1024)
    pixels = Pixels(size=options.pixels, mean=CLIP_MEAN, std=CLIP_STD)
    config = clip.tiny(SOONER).fitted(words.vocab, words.markers)

    def batches(source: Source) -> PairLoader:
        return PairLoader(source, ImageProcessor(pixels), words, batch=options.batch, seed=options.seed)

    def validate(model: nn.Module) -> Mapping[str, float]:
        """How well the loss does on pairs kept aside; larger is better."""
        losses = [model(batch)["contrast"] for batch in islice(batches(held), 4)]
        return {"held out": -torch.stack(losses).mean().item()}

    return (
        Run(
            name="pretrain",
            system="clip",
            preset="tiny",
            stage=clip.SYSTEM.stage("pretrain"),
            model=replace(config, vision=replace(config.vision, image=options.pixels)),
            data=lambda: batches(rest),
            pixels=pixels,
            tokenizer=words,
            steps=options.steps,
            lr=options.lr,
            min_lr=options.lr / 50,
            warmup=options.steps // 20,
            betas=(0.9, 0.98),
            seed=options.seed,
            validate=validate,
            validate_every=max(1, options.steps // 8),
            about={"data": pairs.fingerprint, "batch": options.batch},
        ),
    )
