"""ALBEF on pairs of your own or the made world: pre-train, then fine-tune for search.

chiasm train recipes/albef.py                                                  # the made world
chiasm train recipes/albef.py --data photos/ --pixels 64 --out runs/photos     # your own
"""

from dataclasses import dataclass, replace

from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.systems import albef
from chiasm.training.run import Run

SLOW = 0.1  # of the temperature, beside Adam's large steps here: docs/demo.md


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000"
    """Pairs: a folder, a .jsonl or .parquet file, world:... or emoji?..."""
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
    small = albef.tiny()
    sized = replace(small, fusion=albef.retriever(small, image=options.pixels)).fitted(words.vocab, words.markers)

    def run(name: str, preset: str, model: Config, steps: int, lr: float, temperature: str) -> Run:
        stage = albef.SYSTEM.stage(name)
        return Run(
            name=name,
            system="albef",
            preset=preset,
            stage=replace(stage, train={temperature: SLOW, **stage.train}),
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

    lr = options.lr
    return (
        run("pretrain", "tiny", sized, options.steps, lr, "fusion.alignment.temperature"),
        run("retrieve", "tiny-retrieve", albef.retriever(sized), options.tune, lr / 2, "alignment.temperature"),
    )
