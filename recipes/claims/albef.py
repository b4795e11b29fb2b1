"""ALBEF's claims in miniature (arXiv:2107.07651, table 1): what aligning, hard negatives and distillation are worth.

python recipes/claims/albef.py                # trains fifteen small models; the same command goes on after a kill
python recipes/claims/albef.py --seeds 1      # a glance

Each row trains `albef/tiny` from scratch on pairs of the made world, and looks for the right text of
each test picture, and the right picture of each text, among all others.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from chiasm.core.files import write_atomic
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.evaluation.retrieval import equal_texts, retrieval
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.systems import albef
from chiasm.training.run import Run
from chiasm.training.train import train

PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
BATCH, VOCAB = 64, 512


@dataclass(frozen=True)
class Row:
    """A model of the table: how it differs from ALBEF."""

    noisy: bool  # half of the training texts are wrong
    contrast: float  # weight of the loss
    hardness: float  # of the wrong pairs that matching is shown
    trust: float  # in the twin


ROWS = {
    "fuse alone": Row(noisy=False, contrast=0.0, hardness=0.0, trust=0.0),
    "align before fuse": Row(noisy=False, contrast=1.0, hardness=0.0, trust=0.0),
    "and hard negatives": Row(noisy=False, contrast=1.0, hardness=1.0, trust=0.0),
    "noisy: no distillation": Row(noisy=True, contrast=1.0, hardness=1.0, trust=0.0),
    "noisy: distillation": Row(noisy=True, contrast=1.0, hardness=1.0, trust=0.4),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("claims/albef")
    """Where the models and their numbers lie."""
    seeds: int = 3
    steps: int = 400
    """Of training on clean pairs."""
    noisy_steps: int = 600
    """Of training on noisy ones, which start later."""
    noise: float = 0.3
    """The share of texts that are spoilt in noisy pairs."""
    tests: int = 150
    """Test pictures."""


def launch(row: Row, seed: int, options: Options) -> Run:
    """One training."""
    noise = f"&noise={options.noise}" if row.noisy else ""
    pairs = open_source(f"world:single?count=8000&seed={seed}{noise}")
    words = Tokenizer.train((pairs[i].text for i in range(len(pairs))), vocab=VOCAB)
    config, stage = albef.tiny(), albef.SYSTEM.stage("pretrain")
    steps = options.noisy_steps if row.noisy else options.steps
    fusion = replace(config.fusion, hardness=row.hardness, trust=row.trust, ramp=max(1, steps // 4))
    slow = {"fusion.alignment.temperature": 0.1}  # else contrast outruns matching: docs/demo.md
    return Run(
        name="pretrain",
        system="albef",
        preset="tiny",
        stage=replace(stage, train=slow | dict(stage.train), losses={**stage.losses, "contrast": row.contrast}),
        model=replace(config, fusion=fusion).fitted(words.vocab, words.markers),
        data=lambda: PairLoader(pairs, ImageProcessor(PIXELS), words, batch=BATCH, seed=seed),
        pixels=PIXELS,
        tokenizer=words,
        steps=steps,
        lr=1.5e-3,
        min_lr=3e-5,
        warmup=min(50, steps // 4),
        betas=(0.9, 0.98),
        seed=seed,
        checkpoint_every=200,
        about={"data": pairs.fingerprint},
    )


def measure(model: Predictor, seed: int, options: Options) -> dict[str, float]:
    """Mean R@1 of both directions in percent: every pair judged by matching, and by cosine."""
    source = open_source(f"world:single?count={options.tests}&seed={seed}&split=test")
    pairs = [source[i] for i in range(len(source))]
    images, texts = [pair.image for pair in pairs], [pair.text for pair in pairs]
    right = equal_texts(texts)
    cosine = model.embed(images=images) @ model.embed(texts=texts).T
    logits = [model.match(image, texts, batch_size=options.tests).itm_logits for image in images]
    matched = torch.stack([row[:, 1] - row[:, 0] for row in logits if row is not None])
    return {name: 100 * retrieval(scores, right)["mean@1"] for name, scores in (("itm", matched), ("itc", cosine))}


def numbers(name: str, seed: int, options: Options) -> dict[str, float]:
    """The numbers of one model, trained if it is not yet."""
    folder = options.out / f"{name.replace(':', '').replace(' ', '-')}-{seed}"
    train([launch(ROWS[name], seed, options)], folder)
    record = folder / f"recall-{options.tests}.json"
    if not record.is_file():
        write_atomic(record, json.dumps(measure(load(folder), seed, options)).encode())
    return json.loads(record.read_bytes())


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """The rows in Markdown."""
    lines = ["| trained with | R@1 by matching, % | R@1 by cosine, % |", "|---|---|---|"]
    for name, seeds in found.items():
        cosine = _spread([one["itc"] for one in seeds]) if ROWS[name].contrast else "-"
        lines.append(f"| {name} | {_spread([one['itm'] for one in seeds])} | {cosine} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    numbers = torch.tensor(values, dtype=torch.float64)
    return f"{numbers.mean():.0f}" + (f" ± {numbers.std():.0f}" if len(values) > 1 else "")


def main(options: Options) -> None:
    found = {name: [numbers(name, seed, options) for seed in range(options.seeds)] for name in ROWS}
    print(table(found))


if __name__ == "__main__":
    main(tyro.cli(Options))
