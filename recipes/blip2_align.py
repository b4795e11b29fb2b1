"""BLIP-2's first stage, on your own pairs or the made world: queries learn what texts say of what a frozen tower sees.

chiasm train recipes/blip2_align.py                                                # a CLIP first, then its tower frozen
chiasm train recipes/blip2_align.py --vision runs/clip --out runs/align            # the tower of a CLIP that is there
chiasm train recipes/blip2_align.py --data photos/ --vision openai/clip-vit-base-patch32
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import nn

from chiasm.archetypes.dual import DualEncoder
from chiasm.archetypes.queries import QueryAligner
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import subset
from chiasm.data.text import Tokenizer
from chiasm.nn.vit import ViT
from chiasm.predictor.open import load
from chiasm.systems import blip2, clip
from chiasm.training.run import Brought, Run

HELD = 20  # one pair in so many is kept aside to validate on
SEE = "see"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000&phrasings=4"
    """Pairs: whatever docs/data.md lists; `mix:3*A + 1*B` mixes."""
    vision: str | None = None
    """A CLIP whose tower sees: a run folder, or a name on the hub. Left out: one is trained first."""
    pixels: int = 32
    """Side of the pictures, a multiple of 8; with --vision that of the tower."""
    see: int = 800
    """Steps of the CLIP that is trained first."""
    steps: int = 1600
    batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


def runs(options: Options) -> tuple[Run, ...]:
    """The tower, unless there is one, and the queries over it."""
    pairs = open_source(options.data)
    held = subset(pairs, range(0, len(pairs), HELD))
    rest = subset(pairs, [row for row in range(len(pairs)) if row % HELD])
    words = Tokenizer.train((rest[row].text for row in range(len(rest))), vocab=1024)
    seer, tower, pixels = _tower(options)

    def batches(source: Source) -> PairLoader:
        return PairLoader(source, ImageProcessor(pixels), words, batch=options.batch, seed=options.seed)

    def validate(model: nn.Module) -> Mapping[str, float]:
        """How well the losses do on pairs kept aside; larger is better."""
        losses = [torch.stack(list(model(batch).values())).sum() for batch in islice(batches(held), 4)]
        return {"held out": -torch.stack(losses).mean().item()}

    def run(name: str, model: Config, steps: int) -> Run:
        system, preset, stage = {SEE: ("clip", "tiny", clip.SYSTEM.stage("pretrain"))}.get(
            name, ("blip2", "tiny-aligner", blip2.SYSTEM.stage("align"))
        )
        return Run(
            name=name, system=system, preset=preset, stage=stage, model=model, data=lambda: batches(rest),
            pixels=pixels, tokenizer=words, steps=steps, lr=options.lr, min_lr=options.lr / 50, warmup=steps // 20,
            betas=(0.9, 0.98), seed=options.seed, validate=validate, validate_every=max(1, steps // 8),
            about={"data": pairs.fingerprint, "batch": options.batch},
        )  # fmt: skip

    align = replace(
        run("align", _aligner(tower).fitted(words.vocab, words.markers), options.steps),
        brought={"retriever.vision": Brought(seer, "vision")},
    )
    if isinstance(seer, nn.Module):
        return (align,)
    first = replace(clip.tiny(), vision=tower).fitted(words.vocab, words.markers)
    return run(SEE, first, options.see), align


def _tower(options: Options) -> tuple[nn.Module | str, ViT.Config, Pixels]:
    """Who has seen before, with its tower's config and pictures: a model that is there, or the run to come."""
    if options.vision is None:
        pixels = Pixels(size=options.pixels, mean=CLIP_MEAN, std=CLIP_STD)
        return SEE, clip.tiny().vision.sized(options.pixels), pixels
    given = load(options.vision, device="cpu", dtype=torch.float32)
    if not isinstance(given.config, DualEncoder.Config):
        raise ValueError(f"--vision takes a CLIP, but {options.vision} is {given.system}/{given.preset}")
    return given.module, given.config.vision, given.processor.pixels


def _aligner(tower: ViT.Config) -> QueryAligner.Config:
    """The tiny Q-Former over any tower."""
    towers = blip2.tiny_towers()
    qformer = replace(towers.qformer, image_dim=tower.dim)
    return QueryAligner.Config(retriever=replace(towers, vision=tower, qformer=qformer))
