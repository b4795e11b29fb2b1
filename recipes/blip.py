"""BLIP on pairs of your own or the made world: pre-train, then fine-tune for captions or for search.

chiasm train recipes/blip.py                                                  # the made world
chiasm train recipes/blip.py --data photos/ --pixels 64 --out runs/photos     # your own
torchrun --standalone --nproc-per-node 2 -m chiasm train recipes/blip.py      # in two processes
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
from torch import nn

from chiasm.archetypes.med import MED
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import subset
from chiasm.data.text import Tokenizer
from chiasm.nn.vit import SOONER
from chiasm.systems import blip
from chiasm.training.run import Run

HELD = 20  # one pair in so many is kept aside to validate on


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000"
    """Pairs: whatever docs/data.md lists; `mix:3*A + 1*B` mixes."""
    then: Literal["caption", "retrieve"] = "caption"
    """What to fine-tune for after pre-training."""
    pixels: int = 32
    """Side of the pictures, a multiple of 8."""
    steps: int = 1600
    tune: int = 300
    batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


def runs(options: Options) -> tuple[Run, ...]:
    """Pre-training, and the fine-tuning that starts from it."""
    pairs = open_source(options.data)
    held = subset(pairs, range(0, len(pairs), HELD))
    rest = subset(pairs, [row for row in range(len(pairs)) if row % HELD])
    words = Tokenizer.train((rest[row].text for row in range(len(rest))), vocab=1024)
    pixels = Pixels(size=options.pixels, mean=CLIP_MEAN, std=CLIP_STD)

    def batches(source: Source) -> PairLoader:
        return PairLoader(source, ImageProcessor(pixels), words, batch=options.batch, seed=options.seed)

    def validate(model: nn.Module) -> Mapping[str, float]:
        """How well the losses do on pairs kept aside; larger is better."""
        losses = [torch.stack(list(model(batch).values())).sum() for batch in islice(batches(held), 4)]
        return {"held out": -torch.stack(losses).mean().item()}

    def run(stage: str, model: Config, steps: int, lr: float) -> Run:
        return Run(
            name=stage,
            system="blip",
            preset="tiny" if stage == "pretrain" else f"tiny-{stage}",
            stage=blip.SYSTEM.stage(stage),
            model=model,
            data=lambda: batches(rest),
            pixels=pixels,
            tokenizer=words,
            steps=steps,
            lr=lr,
            min_lr=lr / 50,
            warmup=steps // 20,
            betas=(0.9, 0.98),
            seed=options.seed,
            validate=validate,
            validate_every=max(1, steps // 8),
            best="held out" if stage == "caption" else "",  # a retriever's queue would change as it is asked
            about={"data": pairs.fingerprint, "batch": options.batch},
        )

    whole: MED.Config = _sized(blip.tiny(SOONER), options.pixels).fitted(words.vocab, words.markers)
    tuned = {"caption": blip.captioner, "retrieve": blip.retriever}[options.then](whole)
    return (
        run("pretrain", whole, options.steps, options.lr),
        run(options.then, tuned, options.tune, options.lr / 2),
    )


def _sized(config: MED.Config, pixels: int) -> MED.Config:
    towers = config.retriever
    return replace(config, retriever=replace(towers, vision=towers.vision.sized(pixels)))
