"""A captioner that others trained, or you, fine-tuned on pairs of your own as BLIP's was on COCO (arXiv:2201.12086).

chiasm train recipes/finetune_blip.py --data photos/ --weights Salesforce/blip-image-captioning-base
chiasm train recipes/finetune_blip.py --data photos/ --batch 32 --lora 8 --lr 1e-4      # needs chiasm[lora]
chiasm caption runs/finetune_blip new/ --prompt "a picture of" --strategy beam --min-new-tokens 5

Pictures and words are read as the weights were trained. The defaults are those of the released code: of a small folder
they make few steps, so take a smaller batch there, or more epochs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import nn

from chiasm.archetypes.med import MED, Captioner
from chiasm.data.augment import RandomResizedCrop
from chiasm.data.batches import Captions
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import subset
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.systems import blip
from chiasm.training.adapters import LoRA
from chiasm.training.run import Run

HELD = 20  # one pair in so many is kept aside to choose the best weights by
SMOOTHING = 0.1  # of the labels, as BLIP was trained; transformers' files may say 0
BASE = 768  # a wider vision tower is a large one


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str
    """Pairs: whatever docs/data.md lists; `mix:3*A + 1*B` mixes."""
    weights: str = "Salesforce/blip-image-captioning-base"
    """A captioner: a name on the hub, a folder or file of others, or a run of your own."""
    pixels: int | None = None
    """Side of the pictures; left out: as in the weights."""
    epochs: float = 5.0
    steps: int | None = None
    """In place of epochs."""
    batch: int = 256
    at_once: int = 16
    """Pairs that are in memory at once: a batch is made of such parts."""
    lr: float | None = None
    """Left out: 1e-5, and 2e-6 for a ViT-L. LoRA wants about ten times that."""
    prompt: str = "a picture of"
    """Opens every caption and is not learned: give it to `chiasm caption` again."""
    crop: float = 0.5
    """The smallest part of a picture that is shown in its place, by area; 1: always all of it."""
    dropout: float = 0.1
    """Of the text network; published files do not say, and BLIP was trained with this."""
    lora: int = 0
    """The rank of adapters that learn while all weights are frozen; 0: all weights learn."""
    seed: int = 0


def runs(options: Options) -> tuple[Run, ...]:
    """The stage `caption`, begun with other people's weights."""
    given = load(options.weights, device="cpu", dtype=torch.float32)
    config, inherit = _captioner(given, options)
    large = config.vision.dim > BASE
    pixels, words = replace(given.processor.pixels, size=config.vision.image), given.tokenizer
    pairs = open_source(options.data)
    held = subset(pairs, range(0, len(pairs), HELD))
    rest = subset(pairs, [row for row in range(len(pairs)) if row % HELD])
    part = min(options.at_once, options.batch)
    if options.batch % part:
        raise ValueError(f"a batch of {options.batch} pairs cannot be cut into parts of {part}: see --at-once")
    steps = options.steps or max(1, round(options.epochs * len(rest) / options.batch))
    form = Captions(max_length=40, prompt=options.prompt)

    def batches(source: Source, augment: RandomResizedCrop | None = None) -> PairLoader:
        images = ImageProcessor(pixels)
        return PairLoader(source, images, words, batch=part, seed=options.seed, form=form, augment=augment)

    def validate(model: nn.Module) -> Mapping[str, float]:
        """How well pairs are described that were kept aside; larger is better."""
        device = next(model.parameters()).device
        losses = [model(batch.to(device))["language"] for batch in islice(batches(held), max(1, len(held) // part))]
        return {"held out": -torch.stack(losses).mean().item()}

    stage = replace(blip.SYSTEM.stage("caption"), inherit=inherit)
    return (
        Run(
            name="caption",
            system="blip",
            preset=given.preset,
            stage=replace(stage, train={"vision": 1.0, "decoder": 1.0}) if options.lora else stage,
            model=config,
            data=lambda: batches(rest, RandomResizedCrop(scale=(options.crop, 1.0)) if options.crop < 1 else None),
            pixels=pixels,
            tokenizer=words,
            steps=steps,
            lr=options.lr or (2e-6 if large else 1e-5),
            accumulate=options.batch // part,
            seed=options.seed,
            checkpoint_every=max(1, steps // 10),
            validate=validate,
            validate_every=max(1, steps // 10),
            best="held out",
            start=given.module,
            adapter=LoRA(rank=options.lora) if options.lora else None,
            about={"data": pairs.fingerprint, "prompt": options.prompt, "crop": options.crop, "at_once": part},
        ),
    )


def _captioner(given: Predictor, options: Options) -> tuple[Captioner.Config, Mapping[str, str]]:
    """What is to be trained, and where it finds its weights in the model that was given."""
    opening = given.tokenizer.prompt([options.prompt]).ids.shape[1] if options.prompt else 0
    match given.config:
        case Captioner.Config():
            config, inherit = given.config, {"": ""}
        case MED.Config():
            config, inherit = blip.captioner(given.config), {"": "captioner"}
        case _:
            raise ValueError(f"{options.weights} is {given.system}/{given.preset}, which writes no captions")
    vision, text = config.vision.sized(options.pixels), replace(config.text, dropout=options.dropout)
    return replace(config, vision=vision, text=text, prompt=opening, smoothing=SMOOTHING), inherit
