"""Questions about pictures, your own or the made world's, from a pre-trained BLIP or ALBEF: one stage, `vqa`.

chiasm train recipes/blip.py --data photos/ --pixels 64 --out runs/photos              # or recipes/albef.py
chiasm train recipes/vqa.py --data questions.jsonl --weights runs/photos --out runs/asked
chiasm answer runs/asked picture.png "what colour is the dress?"

A line of questions.jsonl, more of which in docs/tasks.md:
{"image": "a.jpg", "question": "what colour is the dress?", "answers": {"red": 8, "dark red": 2}}
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from chiasm.archetypes.answer import Answerer, DistilledAnswerer
from chiasm.archetypes.fusion import MaskedFusion
from chiasm.archetypes.med import MED
from chiasm.core import ranks
from chiasm.core.errors import MediaError
from chiasm.core.stage import Stage
from chiasm.core.system import Config
from chiasm.data.batches import Questions, asked
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import subset, usable
from chiasm.data.sources.record import summary, summary_of
from chiasm.evaluation.answering import exact
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.systems import albef, blip
from chiasm.training.run import Run
from chiasm.weights.folder import ModelCard

HELD, MOST = 20, 200  # one question in so many is kept aside to validate on, and no more than that
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    weights: str
    """What to start from: a folder that recipes/blip.py or recipes/albef.py made, or a model of these systems."""
    data: str = "questions:single?count=8000"
    """Pictures with a question and its answers: whatever docs/data.md lists, with the keys of docs/tasks.md."""
    pixels: int | None = None
    """Side of the pictures; left out: that of the weights."""
    steps: int = 300
    batch: int = 64
    lr: float = 1.5e-3
    """For the tiny models; those of a published size want 2e-5."""
    seed: int = 0


def runs(options: Options) -> tuple[Run, ...]:
    """The fine-tuning."""
    start, source = _opened(options.weights), _questions(options.data)
    config, stage = _fitted(start, options.pixels, epoch=max(1, len(source) // options.batch))
    pixels = replace(start.card.pixels, size=options.pixels or start.card.pixels.size)
    images, words = ImageProcessor(pixels), start.tokenizer
    preset = start.preset if start.preset.endswith("-vqa") else f"{start.preset}-vqa"
    card = ModelCard(system=start.system, preset=preset, config=config, pixels=pixels)
    rows = [row for row in range(0, len(source), HELD) if _opens(source[row], images)][:MOST]
    held, rest = subset(source, rows), subset(source, sorted({*range(len(source))} - {*rows}) or rows)

    def batches(part: Source) -> PairLoader:
        return PairLoader(part, images, words, form=Questions(), batch=options.batch, seed=options.seed)

    def validate(model: nn.Module) -> Mapping[str, float]:
        """On what was kept aside: the loss, turned round so that larger is better, and how many answers are right."""
        student = model.answerer if isinstance(model, DistilledAnswerer) else model  # which asks no twin
        losses = [student(batch)["answer"] for batch in islice(batches(held), 4)]
        return {"held out": -torch.stack(losses).mean().item(), "exact": _right(Predictor(model, card, words), held)}

    run = Run(
        name="vqa", system=card.system, preset=preset, stage=stage, model=config, start=start.module,
        data=lambda: batches(rest), pixels=pixels, tokenizer=words, steps=options.steps, lr=options.lr,
        min_lr=options.lr / 50, warmup=options.steps // 20, betas=(0.9, 0.98), seed=options.seed,
        about={"data": source.fingerprint, "batch": options.batch},
    )  # fmt: skip
    if not rows:
        return (run,)
    return (replace(run, validate=validate, validate_every=max(1, options.steps // 8), best="held out"),)


def _opened(weights: str) -> Predictor:
    """The pre-training where a folder holds more runs than that, or the model itself."""
    first = Path(weights) / "1-pretrain"
    return load(first if first.is_dir() else weights, device="cpu")


def _fitted(start: Predictor, pixels: int | None, *, epoch: int) -> tuple[Config, Stage]:
    """What answers, and how it begins: like its pre-training, or like itself if it answers already."""
    stages = {"blip": blip.SYSTEM.stage("vqa"), "albef": albef.SYSTEM.stage("vqa")}
    match start.config:
        case MED.Config() as whole:
            return blip.answerer(whole, image=pixels), stages["blip"]
        case MaskedFusion.Config() as whole:
            pace = whole.fusion.alignment.momentum if whole.fusion.alignment else 0.995
            return albef.answerer(whole, image=pixels, momentum=pace, ramp=epoch), stages["albef"]
        case Answerer.Config() as same:
            return replace(same, vision=same.vision.sized(pixels)), replace(stages["blip"], inherit={"": ""})
        case DistilledAnswerer.Config(answerer=student) as same:
            student = replace(student, vision=student.vision.sized(pixels))
            return replace(same, answerer=student), replace(stages["albef"], inherit={"": ""})
        case _:
            raise ValueError(
                f"answers do not start from {start.system}/{start.preset}: --weights takes what blip or albef were "
                "pre-trained to, such as blip/tiny, or what answers already"
            )


def _questions(data: str) -> Source:
    """Rows with a question and an answer; the others are counted and named."""
    source = open_source(data)
    kept, skipped = usable(source, lambda pair: told if isinstance(told := asked(pair), str) else "")
    if skipped and ranks.rank() == 0:
        LOG.warning("%s; %d not asked: %s", summary_of(source), len(skipped), summary(skipped))
    return kept


def _opens(pair: Pair, images: ImageProcessor) -> bool:
    try:
        images.read(pair.image)
    except MediaError:
        return False
    return True


def _right(model: Predictor, held: Source) -> float:
    """The share of questions that get exactly a right answer."""
    pairs = [held[row] for row in range(len(held))]
    told = [asked(pair) for pair in pairs]
    said = model.answer([pair.image for pair in pairs], [question for question, _ in told])
    return exact([one.text for one in said], [[*answers] for _, answers in told]).mean().item()
