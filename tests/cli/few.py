"""A few steps on made pictures."""

from dataclasses import dataclass

from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.predictor.parts import pixels_of
from chiasm.systems import blip
from chiasm.training.run import Run

WORDS = Tokenizer.builtin()
MODEL = blip.tiny().fitted(WORDS.vocab, WORDS.markers)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be told."""

    steps: int = 2
    """How many."""


def loader() -> PairLoader:
    images = ImageProcessor(pixels_of(MODEL))
    return PairLoader(open_source("world:single?count=32&seed=0"), images, WORDS, batch=4, seed=0)


def runs(options: Options) -> tuple[Run, ...]:
    run = Run(
        name="first",
        system="blip",
        preset="tiny",
        stage=blip.SYSTEM.stage("pretrain"),
        model=MODEL,
        data=loader,
        pixels=pixels_of(MODEL),
        tokenizer=WORDS,
        steps=options.steps,
        lr=1e-3,
        checkpoint_every=5,
    )
    return (run,)
