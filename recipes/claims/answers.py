"""Ranking known answers against writing one (ALBEF, arXiv:2107.07651, section 5), by how rare the answer is.

    OMP_NUM_THREADS=1 nice python recipes/claims/answers.py     # the same command again goes on where it stopped

The tiny BLIP is asked `what is there?` and answers `large red ring at the top left`: one of 864 answers. A third of
them comes in the training whenever the world shows it, a third once, a third never. There is no pre-training, which
would have shown all of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from chiasm.core.files import write_atomic
from chiasm.core.types import Pixels
from chiasm.data.batches import Questions
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources.chance import share
from chiasm.data.sources.compose import subset
from chiasm.data.sources.world import open_world
from chiasm.data.text import Tokenizer
from chiasm.evaluation.answering import exact
from chiasm.evaluation.intervals import spread
from chiasm.nn.vit import SOONER
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.systems import blip
from chiasm.training.run import Run
from chiasm.training.train import train

PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
QUESTION = "what is there?"
KINDS = ("common", "once", "never")
ROWS = (
    "written freely",
    "written freely, beams of 3",
    "ranked among the answers of the training",
    "ranked, after a short list of 128 by the first word",
)
Shares = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims-answers")
    """Where the trained models go."""
    seeds: int = 3
    steps: int = 600
    batch: int = 64
    pairs: int = 8000
    """Pictures, of which some are asked about."""
    tests: int = 180
    """Questions that are asked."""


@dataclass(frozen=True)
class Asked:
    """The question what is there, about each picture of the world, and the whole caption as its answer."""

    captions: Source

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> Pair:
        pair = self.captions[index]
        return replace(pair, text=QUESTION, tags={"question": QUESTION, "answers": [pair.text.removeprefix("a ")]})

    @property
    def fingerprint(self) -> str:
        return f"what is there {self.captions.fingerprint}"


def main(options: Options) -> None:
    """Measure what was not measured yet, then print the table."""
    seeds = [_measured(options, seed) for seed in range(options.seeds)]
    print(f"| | {' | '.join((*KINDS, 'all'))} |\n|---|{'---|' * (len(KINDS) + 1)}")
    for row in ROWS:
        cells = (spread([100 * seed[row][kind] for seed in seeds]) for kind in (*KINDS, "all"))
        print(f"| {row} | {' | '.join(f'{mean:.0f} ± {sd:.0f}' for mean, sd in cells)} |")


def kind(answer: str, seed: int) -> str:
    """How often an answer comes in the training, by lot."""
    return KINDS[int(3 * share(f"{seed} {answer}"))]


def known(source: Source, seed: int) -> list[int]:
    """The rows to learn answers from: all of the common ones, and the first of each that comes once."""
    rows, seen = list[int](), set[str]()
    for row in range(len(source)):
        answer = source[row].tags["answers"][0]
        often = kind(answer, seed)
        if often == "common" or (often == "once" and answer not in seen):
            rows.append(row)
        seen.add(answer)
    return rows


def _measured(options: Options, seed: int) -> Shares:
    """The share of right answers by row and kind, for one seed."""
    place = options.out / f"seed-{seed}"
    if (done := place / "results.json").is_file():
        return json.loads(done.read_text())
    captions = open_world(f"world:single?count={options.pairs}&seed={seed}")
    asked = Asked(captions)
    learned = subset(asked, known(asked, seed))
    words = Tokenizer.train([QUESTION, *(captions[i].text for i in range(0, options.pairs, 8))], vocab=256)
    run = Run(
        name="vqa", system="blip", preset="tiny-vqa", stage=replace(blip.SYSTEM.stage("vqa"), inherit={}),
        model=blip.answerer(blip.tiny(SOONER)).fitted(words.vocab, words.markers), pixels=PIXELS, tokenizer=words,
        data=lambda: PairLoader(
            learned, ImageProcessor(PIXELS), words, form=Questions(), batch=options.batch, seed=seed
        ),
        steps=options.steps, lr=1.5e-3, min_lr=3e-5, warmup=50, betas=(0.9, 0.98), seed=seed,
        about={"data": learned.fingerprint},
    )  # fmt: skip
    train([run], place)
    candidates = sorted({learned[row].tags["answers"][0] for row in range(len(learned))})
    test = Asked(open_world(f"world:single?count={options.tests}&seed={seed}&split=test"))
    results = _compared(load(place, device="cpu"), test, candidates, seed)
    write_atomic(done, (json.dumps(results, indent=2) + "\n").encode())
    return results


def _compared(model: Predictor, test: Source, candidates: Sequence[str], seed: int) -> Shares:
    pairs = [test[row] for row in range(len(test))]
    pictures, right = [pair.image for pair in pairs], [pair.tags["answers"][0] for pair in pairs]
    said = (
        model.answer(pictures, QUESTION, max_new_tokens=20),
        model.answer(pictures, QUESTION, max_new_tokens=20, strategy="beam"),
        model.answer(pictures, QUESTION, candidates, k=len(candidates)),
        model.answer(pictures, QUESTION, candidates),
    )
    return {row: _shares([one.text for one in each], right, seed) for row, each in zip(ROWS, said, strict=True)}


def _shares(said: Sequence[str], right: Sequence[str], seed: int) -> dict[str, float]:
    marks = exact(said, [[answer] for answer in right]).tolist()
    found: dict[str, list[float]] = {name: [] for name in (*KINDS, "all")}
    for mark, answer in zip(marks, right, strict=True):
        found[kind(answer, seed)].append(mark)
        found["all"].append(mark)
    return {name: sum(some) / max(1, len(some)) for name, some in found.items()}


if __name__ == "__main__":
    main(tyro.cli(Options))
