"""ALBEF on pairs of your own or the made world: pre-train, then fine-tune for search.

chiasm train recipes/albef.py                                                  # the made world
chiasm train recipes/albef.py --data photos/ --pixels 64 --out runs/photos     # your own
"""

from dataclasses import dataclass, replace

from chiasm.core.stage import Stage
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.nn.vit import SOONER
from chiasm.systems import albef
from chiasm.training.run import Run

PRETRAIN, RETRIEVE = map(albef.SYSTEM.stage, ("pretrain", "retrieve"))
SLOW = 0.1  # the temperature's share of the learning rate, which is large here: docs/demo.md


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000"
    """Pairs: whatever docs/data.md lists; `mix:3*A + 1*B` mixes."""
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
    words = Tokenizer.train((pairs[row].text for row in range(len(pairs))), vocab=1024)
    pixels = Pixels(size=options.pixels, mean=CLIP_MEAN, std=CLIP_STD)
    small = albef.tiny(SOONER)
    sized = replace(small, fusion=albef.retriever(small, image=options.pixels)).fitted(words.vocab, words.markers)

    def run(stage: Stage, model: Config, steps: int, lr: float) -> Run:
        return Run(
            name=stage.name,
            system="albef",
            preset=stage.preset,
            stage=stage,
            model=model,
            data=lambda: PairLoader(pairs, ImageProcessor(pixels), words, batch=options.batch, seed=options.seed),
            pixels=pixels,
            tokenizer=words,
            steps=steps,
            lr=lr,
            min_lr=lr / 50,
            warmup=steps // 20,
            betas=(0.9, 0.98),
            seed=options.seed,
            about={"data": pairs.fingerprint, "batch": options.batch},
        )

    pretrain = replace(PRETRAIN, train={"fusion.temperature": SLOW, **PRETRAIN.train})
    retrieve = replace(RETRIEVE, train={**RETRIEVE.train, "temperature": SLOW})
    return (
        run(pretrain, sized, options.steps, options.lr),
        run(retrieve, albef.retriever(sized), options.tune, options.lr / 2),
    )
