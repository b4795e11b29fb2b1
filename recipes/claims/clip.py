"""CLIP's claim in miniature: what was never shown is named by words, and an ensemble of prompts names it best.

    python recipes/claims/clip.py                # prints the table of docs/results/clip.md

A tiny CLIP learns from pictures of one thing each (size, colour, shape, place) and what is said of them in
four wordings; a fifth of all combinations is kept out. Then labels are turned into texts, as in section
3.1.4 of the paper (arXiv:2103.00020), and the nearest text names the picture. The ablation learns from the
same pictures and texts, paired by lot. The same command again goes on where it stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import torch
import tyro

import chiasm
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import Drawn, drawn
from chiasm.data.sources.grammar import Facts, say
from chiasm.data.sources.world import WorldPairs, single
from chiasm.data.text import Tokenizer
from chiasm.evaluation.intervals import spread
from chiasm.nn.vit import SOONER
from chiasm.systems import clip
from chiasm.training.run import Run
from chiasm.training.train import train

WORLD = replace(single(), phrasings=4)
OFFERED = WORLD.offered()
PHRASES = ("a {}", "there is a {}", "a picture of a {}")
PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims/clip")
    """Where the trained models go."""
    seeds: int = 3
    steps: int = 800
    batch: int = 128
    lr: float = 1.5e-3
    pairs: int = 8000
    """To learn from."""
    tests: int = 1000
    """Pictures of each test."""
    held_out: float = 0.2
    """The share of combinations that training never shows."""


@dataclass(frozen=True)
class Question:
    """What a picture is asked for: its label, which facts that label tells, and how texts are made of it."""

    label: Callable[[Facts], str]
    tells: tuple[str, ...]
    ensemble: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """All there are."""
        return tuple(self.label(facts) for facts in every(*self.tells))


def every(*fields: str) -> Iterator[Facts]:
    """All combinations of what there is to say in some fields."""
    return (dict(zip(fields, values, strict=True)) for values in product(*(OFFERED[field] for field in fields)))


def shuffled(pairs: Drawn, seed: int) -> Drawn:
    """Every picture with the text of another one."""
    texts = chance("shuffled", seed).sample([pair.text for pair in pairs.pairs], len(pairs))
    return pairs.each(lambda row, pair: replace(pair, text=texts[row]), "shuffled")


# A thing's label leaves out where it is and how large; a text that leaves it out is unlike all that were
# learned from. The ensemble says every size and place, as CLIP's says "a photo of a small {}", "... a large {}".
THINGS = Question(
    label=lambda facts: f"{facts['colour']} {facts['shape']}",
    tells=("colour", "shape"),
    ensemble=tuple(
        phrase.replace("{}", f"{facts['size']} {{}} at the {facts['place']}")
        for phrase in PHRASES
        for facts in every("size", "place")
    ),
)
SCENES = Question(
    label=lambda facts: say(facts).removeprefix("a "), tells=("size", "colour", "shape", "place"), ensemble=PHRASES
)


def trained(options: Options, seed: int, source: Drawn, *, name: str) -> chiasm.Predictor:
    """A tiny CLIP that learned from `source`, unless the folder has it already."""
    folder = options.out / f"seed-{seed}" / name
    words = Tokenizer.train((pair.text for pair in source.pairs), vocab=512)
    run = Run(
        name="pretrain",
        system="clip",
        preset="tiny",
        stage=clip.SYSTEM.stage("pretrain"),
        model=clip.tiny(SOONER).fitted(words.vocab, words.markers),
        data=lambda: PairLoader(source, ImageProcessor(PIXELS), words, batch=options.batch, seed=seed),
        pixels=PIXELS,
        tokenizer=words,
        steps=options.steps,
        lr=options.lr,
        min_lr=options.lr / 50,
        warmup=options.steps // 20,
        betas=(0.9, 0.98),
        seed=seed,
        about={"data": source.fingerprint, "batch": options.batch},
    )
    train([run], folder)
    return chiasm.load(folder, device="cpu")


def right(model: chiasm.Predictor, tests: Drawn, question: Question, templates: Sequence[str]) -> float:
    """The share of test pictures that get their own label, in percent."""
    pictures = [pair.image for pair in tests.pairs]
    found = model.classify(pictures, question.labels, templates, batch_size=250)
    truth = [question.label(pair.tags["facts"]) for pair in tests.pairs]
    return 100 * sum(ranking.items[0] == label for ranking, label in zip(found, truth, strict=True)) / len(truth)


def measured(options: Options, seed: int) -> dict[str, list[float]]:
    """Rows of the table for one seed."""
    world = WorldPairs(WORLD, seed=seed, count=options.pairs, held_out=options.held_out)
    pairs = drawn(world)
    unseen, seen = (drawn(replace(world, split=name, count=options.tests)) for name in ("test-combinations", "test"))
    asked = ((THINGS, unseen), (SCENES, unseen), (SCENES, seen))
    model = trained(options, seed, pairs, name="paired")
    blind = trained(options, seed, shuffled(pairs, seed), name="shuffled")
    ensemble = "an ensemble of prompts"
    return {
        "the bare label": [right(model, tests, question, ["{}"]) for question, tests in asked],
        "one prompt": [right(model, tests, question, ["a picture of a {}"]) for question, tests in asked],
        ensemble: [right(model, tests, question, question.ensemble) for question, tests in asked],
        f"{ensemble}, learned from shuffled pairs": [
            right(blind, tests, question, question.ensemble) for question, tests in asked
        ],
        "chance": [100 / len(question.labels) for question, _ in asked],
    }


def main(options: Options) -> None:
    """Train what is not trained yet, and print the table."""
    torch.set_num_threads(1)
    seeds = [measured(options, seed) for seed in range(options.seeds)]
    things, scenes = len(THINGS.labels), len(SCENES.labels)
    columns = (f"a thing of {things}, unseen", f"a scene of {scenes}, unseen", f"a scene of {scenes}, seen")
    print("| % right, label as |", " | ".join(columns), "|\n|---|---|---|---|")
    for row in seeds[0]:
        cells = (spread(values) for values in zip(*(seed[row] for seed in seeds), strict=True))
        print(f"| {row} |", " | ".join(f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in cells), "|")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
