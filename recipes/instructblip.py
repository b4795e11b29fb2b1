"""InstructBLIP, on what a BLIP-2 was trained to: its Q-Former is told what to look for (arXiv:2305.06500).

chiasm train recipes/blip2.py                                              # or --data photos/, and so on
chiasm train recipes/instructblip.py --start runs/blip2
chiasm answer runs/instructblip picture.png "what colour is the star?"
chiasm train recipes/instructblip.py --data "mix:3*questions.jsonl + 1*photos/" --out runs/asked      # your own

Rows with a question and answers (docs/tasks.md) are asked in any of some templates, the others described; without
weights a mixture draws each source by the square root of its size, as the paper does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.archetypes.spliced import PICTURES, SplicedLM
from chiasm.core.stage import Stage
from chiasm.data.batches import asked
from chiasm.data.images import ImageProcessor
from chiasm.data.instructions import Instructions
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Source
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import subset
from chiasm.data.templates import CAPTIONS, QUESTIONS
from chiasm.evaluation.answering import exact
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.qformer import Words
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.systems import instructblip
from chiasm.training.run import Brought, Run
from chiasm.weights.folder import ModelCard

HELD, MOST = 20, 200  # one row in so many is kept aside to validate on, and no more than that
TEXT = "qformer.text"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    start: str = "runs/blip2"
    """A BLIP-2 that speaks, or what came of one: a folder of runs, or a model."""
    first: str | None = None
    """A first stage, whose Q-Former reads words; left out: the run `align` of the folder."""
    data: str = "mix:questions:single?count=8000 + world:single?count=8000"
    """Pictures with questions, with texts or both: whatever docs/data.md lists; `mix:3*A + 1*B` mixes as you like."""
    steps: int = 600
    batch: int = 64
    lr: float = 1.5e-3
    """For the tiny models; those of a published size want 1e-5."""
    seed: int = 0


def runs(options: Options) -> tuple[Run, ...]:
    """The stage `instruct`."""
    start, source = load(options.start, device="cpu", dtype=torch.float32), open_source(options.data)
    config, stage, brought = _told(start, options)
    words, images = start.tokenizer, ImageProcessor(start.card.pixels)
    card = ModelCard(system="instructblip", preset=start.preset, config=config, pixels=start.card.pixels)
    # what the verbs say when nothing else is asked for is learned beside the templates
    form = Instructions(
        Prompter(words, config.wording, {sense.name: sense.cue for sense in config.senses}, words),
        describe=("", *CAPTIONS.held_in),
        ask=(config.wording.question, *QUESTIONS.held_in),
    )
    held = subset(source, range(0, len(source), HELD)[:MOST])
    rest = subset(source, [row for row in range(len(source)) if row % HELD or row >= HELD * MOST])

    def batches(part: Source) -> PairLoader:
        return PairLoader(part, images, words, form=form, batch=options.batch, seed=options.seed)

    def validate(model: nn.Module) -> Mapping[str, float]:
        """On what was kept aside: the loss, turned round so that larger is better, and how many answers are right."""
        losses = [model(batch)["language"] for batch in islice(batches(held), 4)]
        return {"held out": -torch.stack(losses).mean().item(), "exact": _right(Predictor(model, card, words), held)}

    return (
        Run(
            name=stage.name, system=card.system, preset=card.preset, stage=stage, model=config, start=start.module,
            brought=brought, data=lambda: batches(rest), pixels=card.pixels, tokenizer=words, steps=options.steps,
            lr=options.lr, warmup=options.steps // 20, seed=options.seed, validate=validate,
            validate_every=max(1, options.steps // 8), best="held out",
            about={"data": source.fingerprint, "batch": options.batch},
        ),
    )  # fmt: skip


def _told(start: Predictor, options: Options) -> tuple[SplicedLM.Config, Stage, Mapping[str, Brought]]:
    """What is to be trained, how it begins, and where the half of its Q-Former comes from that reads words."""
    config, stage = start.config, instructblip.SYSTEM.stage("instruct")
    if not isinstance(config, SplicedLM.Config) or [sense.name for sense in config.senses] != [PICTURES]:
        raise ValueError(
            f"{options.start} is {start.system}/{start.preset}, but --start takes a BLIP-2 that speaks of pictures"
        )
    (sense,) = config.senses
    if not isinstance(sense.connector, QFormerConnector.Config):
        raise ValueError(f"{options.start} sees by a linear connector, but --start takes one with a Q-Former")
    if sense.connector.hinted:
        return config, replace(stage, inherit={"": ""}), {}
    text, words = _first(options)
    told = replace(sense.connector, qformer=replace(sense.connector.qformer, text=words))
    config = replace(config, senses=(replace(sense, connector=told),))
    return config, stage, {f"{instructblip.BRIDGE}.{TEXT}": Brought(text)}


def _first(options: Options) -> tuple[nn.Module, Words]:
    """The half of a first stage's Q-Former that reads words, and its config."""
    found = options.first or next((str(run) for run in Path(options.start).glob("*-align")), None)
    if found is None:
        raise ValueError(
            f"the Q-Former of {options.start} reads no words, and no run `align` lies there: say with --first "
            "whose words it shall read, such as runs/blip2/3-align"
        )
    first = load(found, device="cpu", dtype=torch.float32)
    match first.config:
        case QueryAligner.Config(retriever=QueryRetriever.Config(qformer=qformer)) if qformer.text is not None:
            return first.module.get_submodule(f"retriever.{TEXT}"), qformer.text
        case QueryRetriever.Config(qformer=qformer) if qformer.text is not None:
            return first.module.get_submodule(TEXT), qformer.text
        case _:
            raise ValueError(f"{found} is {first.system}/{first.preset}, but --first takes BLIP-2's first stage")


def _right(model: Predictor, held: Source) -> float:
    """The share of questions that get exactly a right answer; 0 where nothing is asked."""
    pairs = [pair for pair in (held[row] for row in range(len(held))) if not isinstance(asked(pair), str)]
    if not pairs:
        return 0.0
    told = [asked(pair) for pair in pairs]
    said = model.answer([pair.image for pair in pairs], [question for question, _ in told])
    return exact([one.text for one in said], [[*answers] for _, answers in told]).mean().item()
