"""ALBEF's claims in miniature (table 1 of the paper): what aligning, hard negatives and distillation are worth.

    python recipes/claims/albef.py                # prints the table of docs/results/albef.md

Each row trains `albef/tiny` from scratch on pictures of one thing each (colour, shape, place) and finds,
among test pictures, the text of each picture and the picture of each text. The first three rows learn from
true texts, the last two from texts of which half are wrong (arXiv:2107.07651, sections 3.2 and 3.3). The
same command again goes on where it stopped.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

import chiasm
from chiasm.archetypes.align import Alignment
from chiasm.core.files import write_atomic
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.noise import Noise
from chiasm.data.sources.world import WorldPairs, single
from chiasm.data.text import Tokenizer
from chiasm.evaluation.intervals import spread
from chiasm.evaluation.retrieval import equal_texts, retrieval
from chiasm.nn.vit import SOONER
from chiasm.systems import albef
from chiasm.training.run import Run
from chiasm.training.train import train

WORLD = replace(
    single(), colours=("red", "yellow", "green", "blue"), shapes=("circle", "square", "cross"), sizes=()
)  # 108 captions
PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model of the table, by what it is denied."""

    noise: float = 0.0  # the share of training texts that are wrong
    contrast: float = 1.0  # weight of the loss
    hardness: float = 1.0  # of the wrong pairs that matching learns from
    trust: float = 0.4  # in the twin


ROWS = {
    "match + masked words": Row(contrast=0.0, hardness=0.0, trust=0.0),
    "+ contrast": Row(hardness=0.0, trust=0.0),
    "+ contrast, hard negatives": Row(trust=0.0),
    "half of the texts wrong": Row(noise=0.5, trust=0.0),
    "half of the texts wrong, distillation": Row(noise=0.5),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims/albef")
    """Where the trained models go."""
    seeds: int = 3
    steps: int = 300
    batch: int = 48
    lr: float = 1.5e-3
    pairs: int = 4000
    """To learn from."""
    tests: int = 150
    """Test pictures."""


def trained(options: Options, seed: int, name: str) -> chiasm.Predictor:
    """The model of a row, unless the folder has it already."""
    row, folder = ROWS[name], options.out / f"seed-{seed}" / _plain(name)
    noise = Noise(rate=row.noise) if row.noise else None
    source = WorldPairs(WORLD, seed=seed, count=options.pairs, noise=noise)
    words = Tokenizer.train((source[i].text for i in range(len(source))), vocab=256)
    config, stage = albef.tiny(SOONER), albef.SYSTEM.stage("pretrain")
    ramp = max(1, options.steps // 3)
    learns = Alignment.Config(queue=256, momentum=0.9, hardness=row.hardness, trust=row.trust, ramp=ramp)
    slow = {"fusion.temperature": 0.1}  # else contrast outruns matching: docs/demo.md
    run = Run(
        name="pretrain",
        system="albef",
        preset="tiny",
        stage=replace(stage, train=slow | dict(stage.train), losses={**stage.losses, "contrast": row.contrast}),
        model=replace(config, fusion=replace(config.fusion, alignment=learns)).fitted(words.vocab, words.markers),
        data=lambda: PairLoader(source, ImageProcessor(PIXELS), words, batch=options.batch, seed=seed),
        pixels=PIXELS,
        tokenizer=words,
        steps=options.steps,
        lr=options.lr,
        min_lr=options.lr / 50,
        warmup=options.steps // 10,
        betas=(0.9, 0.98),
        seed=seed,
        about={"data": source.fingerprint, "batch": options.batch},
    )
    train([run], folder)
    return chiasm.load(folder, device="cpu")


def recall(options: Options, seed: int, model: chiasm.Predictor) -> dict[str, float]:
    """R@1 in percent, the mean of both directions: every test pair judged by matching, and by cosine."""
    source = WorldPairs(WORLD, seed=seed, count=options.tests, split="test")
    images, texts = ([source[i].image for i in range(len(source))], [source[i].text for i in range(len(source))])
    logits = [model.match(image, texts, batch_size=len(texts)).itm_logits for image in images]
    scores = {
        "match": torch.stack([row[:, 1] - row[:, 0] for row in logits if row is not None]),
        "cosine": model.embed(images=images) @ model.embed(texts=texts).T,
    }
    right = equal_texts(texts)
    return {head: 100 * retrieval(score, right, [1])["mean@1"] for head, score in scores.items()}


def measured(options: Options, seed: int, name: str) -> dict[str, float]:
    """What one model finds, written down beside it."""
    record = options.out / f"seed-{seed}" / f"{_plain(name)}.json"
    model = trained(options, seed, name)
    if not record.is_file():
        write_atomic(record, json.dumps(recall(options, seed, model)).encode())
    return json.loads(record.read_bytes())


def main(options: Options) -> None:
    """Train what is not trained yet, and print the table."""
    torch.set_num_threads(1)
    found = {name: [measured(options, seed, name) for seed in range(options.seeds)] for name in ROWS}
    print("| learned from | R@1 by matching, % | R@1 by cosine, % |\n|---|---|---|")
    for name, seeds in found.items():
        cosine = _cell([one["cosine"] for one in seeds]) if ROWS[name].contrast else "-"
        print(f"| {name} | {_cell([one['match'] for one in seeds])} | {cosine} |")


def _cell(values: Sequence[float]) -> str:
    mean, deviation = spread(values)
    return f"{mean:.1f} ± {deviation:.1f}"


def _plain(name: str) -> str:
    return "-".join("".join(letter if letter.isalpha() else " " for letter in name).split())


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
