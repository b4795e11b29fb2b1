"""BLIP answers questions by looking, and ranking known answers against writing one (arXiv:2201.12086, section 5.3).

    OMP_NUM_THREADS=1 nice python recipes/claims/vqa.py     # the same command again goes on where it stopped

Pre-trains the tiny model on captions of the made world, fine-tunes it on questions about size, colour, shape
and place, and asks about new pictures. One ablation learns from pictures that were dealt out anew, so that
only the words can help; the other is the model that looks, asked about the wrong pictures.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from chiasm.core.files import write_atomic
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.data.batches import CAPTIONS, Form, Questions
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources.chance import chance
from chiasm.data.sources.tasks import WorldQuestions
from chiasm.data.sources.world import open_world
from chiasm.data.text import Tokenizer
from chiasm.evaluation.intervals import spread
from chiasm.nn.vit import SOONER
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.systems import blip
from chiasm.training.run import Run
from chiasm.training.train import train

PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
KINDS = {"what size": "size", "what colour": "colour", "what shape": "shape", "where is": "place"}
PACE = {"pretrain": {"retriever.temperature": 0.1}}  # slower than the rest, as in the demo
ROWS = (
    "ranked among the known answers",
    "written freely",
    "ranked, asked about another picture",
    "ranked, learned from pictures dealt out anew",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims-vqa")
    """Where the trained models go."""
    seeds: int = 3
    pretrain: int = 500
    steps: int = 200
    batch: int = 64
    pairs: int = 8000
    """To learn from."""
    tests: int = 1000
    """Questions that are asked."""


@dataclass(frozen=True)
class Shuffled:
    """The same questions, each beside another's picture."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Pair:
        other = chance("shuffled", index).randrange(len(self))
        return replace(self.source[index], image=self.source[other].image)

    @property
    def fingerprint(self) -> str:
        return f"shuffled {self.source.fingerprint}"


def main(options: Options) -> None:
    """Measure what was not measured yet, then print the table."""
    seeds = [_measured(options, seed) for seed in range(options.seeds)]
    print(f"| | {' | '.join((*KINDS.values(), 'all'))} |\n|---|{'---|' * (len(KINDS) + 1)}")
    for row in ROWS:
        cells = (spread([100 * seed[row][kind] for seed in seeds]) for kind in (*KINDS.values(), "all"))
        print(f"| {row} | {' | '.join(f'{mean:.0f} ± {sd:.0f}' for mean, sd in cells)} |")


def _measured(options: Options, seed: int) -> dict[str, dict[str, float]]:
    """The share of right answers by row and kind, for one seed."""
    place = options.out / f"seed-{seed}"
    if (done := place / "results.json").is_file():
        return json.loads(done.read_text())
    captions = open_world(f"world:single?count={options.pairs}&seed={seed}")
    asked = WorldQuestions(captions, kinds=("attribute",))
    some = range(0, options.pairs, max(1, options.pairs // 1000))
    words = Tokenizer.train([text for i in some for text in (captions[i].text, asked[i].text)], vocab=256)
    base = blip.tiny(SOONER).fitted(words.vocab, words.markers)

    def run(stage: str, model: Config, source: Source, form: Form, steps: int) -> Run:
        plan = blip.SYSTEM.stage(stage)
        return Run(
            name=stage, system="blip", preset="tiny" if stage == "pretrain" else f"tiny-{stage}",
            stage=replace(plan, train=PACE.get(stage, {}) | dict(plan.train)), model=model, pixels=PIXELS,
            tokenizer=words, steps=steps,
            data=lambda: PairLoader(source, ImageProcessor(PIXELS), words, form=form, batch=options.batch, seed=seed),
            lr=1.5e-3, min_lr=3e-5, warmup=50, betas=(0.9, 0.98), seed=seed, about={"data": source.fingerprint},
        )  # fmt: skip

    start = train([run("pretrain", base, captions, CAPTIONS, options.pretrain)], place / "pretrained")
    for name, source in (("seeing", asked), ("blind", Shuffled(asked))):
        train([run("vqa", blip.answerer(base), source, Questions(), options.steps)], place / name, start=start)
    results = _asked(options, seed, load(place / "seeing", device="cpu"), load(place / "blind", device="cpu"))
    write_atomic(done, (json.dumps(results, indent=2) + "\n").encode())
    return results


def _asked(options: Options, seed: int, seeing: Predictor, blind: Predictor) -> dict[str, dict[str, float]]:
    test = open_world(f"world:single?count={options.tests}&seed={seed}&split=test")
    source = WorldQuestions(test, kinds=("attribute",))
    pairs = [source[i] for i in range(len(source))]
    questions, pictures = [pair.text for pair in pairs], [pair.image for pair in pairs]
    answers = sorted(value for field in KINDS.values() for value in test.world.offered()[field])
    said = (
        seeing.answer(pictures, questions, answers),
        seeing.answer(pictures, questions),
        seeing.answer([*pictures[1:], pictures[0]], questions, answers),
        blind.answer(pictures, questions, answers),
    )
    return {row: _right([one.text for one in each], pairs) for row, each in zip(ROWS, said, strict=True)}


def _right(said: Sequence[str], pairs: Sequence[Pair]) -> dict[str, float]:
    marks: dict[str, list[bool]] = {kind: [] for kind in (*KINDS.values(), "all")}
    for one, pair in zip(said, pairs, strict=True):
        for kind in (KINDS[" ".join(pair.text.split()[:2])], "all"):
            marks[kind].append(one == pair.tags["answers"][0])
    return {kind: sum(found) / max(1, len(found)) for kind, found in marks.items()}


if __name__ == "__main__":
    main(tyro.cli(Options))
