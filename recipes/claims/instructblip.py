"""InstructBLIP's claim in miniature (arXiv:2305.06500, section 3.2): a Q-Former sees more that knows what is asked.

    OMP_NUM_THREADS=1 nice python recipes/claims/instructblip.py     # the same command again goes on where it stopped

Questions need one region of the picture: `what colour is the thing on the left?`, `... inside?`, `how many red things
are there?`. Both Q-Formers begin as the same BLIP-2 ended, learn from the same questions for as many steps, and have
the same number of queries, of which only the first few of BLIP-2's are kept. The language model is asked in templates
that the Q-Formers learned from, and in others; it has read all of them before, as one of published size has.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import tyro
from measured import cell, once
from regions import HELD_IN, HELD_OUT, KINDS, Lines, drawn, read
from torch import nn

from chiasm.archetypes.language_model import LanguageModel
from chiasm.archetypes.queries import QueryAligner
from chiasm.archetypes.spliced import PICTURES, SplicedLM
from chiasm.core.results import Answer
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels, Text
from chiasm.data.batches import CAPTIONS, Form
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Instructions, Texts
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.prompts import Prompter
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import Chain, Drawn
from chiasm.data.text import Tokenizer, clean
from chiasm.decoding.ranking import rank
from chiasm.nn import vit
from chiasm.predictor.verbs import Predictor
from chiasm.systems import blip2, clip, instructblip
from chiasm.training.run import Brought, Run
from chiasm.training.train import train

PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
TOWER = vit.tiny(vit.SOONER)
ASKS = 4  # questions about a picture that is learned from
STAGES = {"told": "instruct", "untold": "untold"}
ROWS = {"told": "told what to look for", "untold": "static"}
ASKED = {"held in": HELD_IN, "held out": HELD_OUT}
BLIND: Mapping[str, Callable[[Pair], str]] = {
    "the language model, shown nothing": lambda _: "",
    "the language model, told the caption": lambda pair: clean(pair.text),
}
POINTS = 4  # of a learning curve
Exams = Mapping[str, Mapping[str, float]]  # what was shown and asked -> kind of question -> percent
Ask = Callable[[Sequence[Pair], Sequence[str], Sequence[str]], Sequence[Answer]]  # what is shown, asked, and answers


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims/instructblip")
    """Where the trained models go."""
    seeds: tuple[int, ...] = (0, 1, 2)
    queries: tuple[int, ...] = (1,)
    """Of the eight that BLIP-2 has."""
    see: int = 600
    """Steps of each stage."""
    words: int = 2000
    align: int = 200
    generate: int = 150
    instruct: int = 2000
    batch: int = 64
    lr: float = 1.5e-3
    pairs: int = 8000
    """Pictures to learn from; half have two things, half have more."""
    tests: int = 300
    """Questions."""


@dataclass(frozen=True)
class Lesson:
    """All that a seed learns from, and how it is examined."""

    options: Options
    seed: int

    @cached_property
    def learned(self) -> tuple[Drawn, Drawn]:
        return drawn(self.seed, "train", self.options.pairs, ASKS)

    @cached_property
    def tests(self) -> tuple[Pair, ...]:
        """Questions, as many of each kind; one picture in ten has a thing inside another one."""
        share = self.options.tests // len(KINDS)
        asked = drawn(self.seed, "test", 12 * share, 1)[1].pairs
        return tuple(pair for kind in KINDS for pair in [one for one in asked if one.tags["kind"] == kind][:share])

    @cached_property
    def answers(self) -> Mapping[str, tuple[str, ...]]:
        """All that is ever right, by what is asked for."""
        found: dict[str, set[str]] = {}
        for pair in self.learned[1].pairs:
            found.setdefault(pair.tags["field"], set()).update(pair.tags["answers"])
        return {field: tuple(sorted(answers)) for field, answers in found.items()}

    @cached_property
    def read(self) -> Source:
        """What the language model reads: captions, captions twice, and captions before a question and its answer.

        Who never saw a text that comes back does not learn to say what it is shown, and then no picture moves it.
        """
        captions, asked = self.learned
        both = ((captions.pairs[row // ASKS], one) for row, one in enumerate(asked.pairs))
        rows = tuple(read(pair, one, chance("read", self.seed, row)) for row, (pair, one) in enumerate(both))
        again = tuple(replace(pair, text=f"{pair.text} {pair.text}", tags={"said": "again"}) for pair in captions.pairs)
        told = Drawn(again, f"again {captions.fingerprint}"), Drawn(rows, f"read {asked.fingerprint}")
        return Chain(captions, *told)

    @cached_property
    def words(self) -> Tokenizer:
        lines = (self.read[row] for row in range(len(self.read)))
        once = (clean(line.text, max_words=64) for line in lines if line.tags.get("said") != "again")
        return Tokenizer.train(once, vocab=512)

    def speaker(self, queries: int, *, hinted: bool) -> SplicedLM.Config:
        """What answers; questions come to it in their templates already."""
        cfg = instructblip.tiny(blip2.tiny().lm, replace(instructblip.TINY, question="{}"), TOWER)
        cfg = cfg if hinted else instructblip.static(cfg)
        (sense,) = cfg.senses
        connector: Any = sense.connector
        few = replace(connector, qformer=replace(connector.qformer, queries=queries))
        return replace(cfg, senses=(replace(sense, connector=few),)).fitted(self.words.vocab, self.words.markers)

    def form(self, *, hinted: bool) -> Instructions:
        wording = self.speaker(1, hinted=hinted).wording
        prompter = Prompter(self.words, wording, {PICTURES: ""}, self.words if hinted else None)
        return Instructions(prompter, ask=HELD_IN)

    def run(self, name: str, stage: Stage, model: Any, steps: int, source: Source, form: Form) -> Run:
        """One stage of one model."""
        system = {"see": "clip", "instruct": "instructblip", "untold": "instructblip"}.get(name, "blip2")
        return Run(
            name=name, system=system, preset=stage.preset, stage=stage, pixels=PIXELS, tokenizer=self.words,
            model=model.fitted(self.words.vocab, self.words.markers), steps=steps, seed=self.seed,
            data=lambda: PairLoader(
                source, ImageProcessor(PIXELS), self.words, batch=self.options.batch, seed=self.seed, form=form
            ),
            lr=self.options.lr, min_lr=self.options.lr / 50, warmup=steps // 20, betas=(0.9, 0.98),
            about={"data": source.fingerprint, "batch": self.options.batch},
        )  # fmt: skip

    def examined(self, run: Run) -> Run:
        """The same run, with a short exam on its way."""

        def validate(model: nn.Module) -> Mapping[str, float]:
            with torch.random.fork_rng(devices=[]):
                return self.exam(looking(Predictor(model, run.card, self.words)), HELD_IN, every=5)

        return replace(run, validate=validate, validate_every=max(1, run.steps // POINTS))

    def exam(self, ask: Ask, templates: Sequence[str], *, every: int = 1, moved: int = 0) -> dict[str, float]:
        """Right answers of each kind, in percent, among all of what is asked for; `moved` shows other pictures."""
        marks: dict[str, list[bool]] = {kind: [] for kind in KINDS}
        for field, answers in self.answers.items():
            rows = [row for row in range(0, len(self.tests), every) if self.tests[row].tags["field"] == field]
            pairs = [self.tests[row] for row in rows]
            shown = [self.tests[row - moved] for row in rows]
            asked = [templates[i % len(templates)].format(pair.tags["question"]) for i, pair in enumerate(pairs)]
            for pair, one in zip(pairs, ask(shown, asked, answers), strict=True):
                marks[pair.tags["kind"]].append(one.text == pair.tags["answers"][0])
        return {kind: 100 * sum(own) / max(1, len(own)) for kind, own in marks.items()}

    def chance(self) -> dict[str, float]:
        """What guessing gives, in percent."""
        shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for pair in self.tests:
            shares[pair.tags["kind"]].append(100 / len(self.answers[pair.tags["field"]]))
        return {kind: sum(own) / max(1, len(own)) for kind, own in shares.items()}


@dataclass(frozen=True)
class Taught:
    """The models of one seed; each is trained once."""

    lesson: Lesson

    @property
    def place(self) -> Path:
        return self.lesson.options.out / f"seed-{self.lesson.seed}"

    @cached_property
    def see(self) -> nn.Module:
        lesson, steps = self.lesson, self.lesson.options.see
        run = lesson.run(
            "see", clip.SYSTEM.stage("pretrain"), clip.tiny(vit.SOONER), steps, lesson.learned[0], CAPTIONS
        )
        return train([run], self.place / "see")

    @cached_property
    def reads(self) -> nn.Module:
        lesson, stage, steps = self.lesson, blip2.SYSTEM.stage("words"), self.lesson.options.words
        form = Lines(Texts(lesson.form(hinted=False).prompter))
        run = lesson.run("words", stage, LanguageModel.Config(lm=blip2.tiny().lm), steps, lesson.read, form)
        return train([run], self.place / "words")

    @cached_property
    def aligned(self) -> nn.Module:
        lesson, stage, steps = self.lesson, blip2.SYSTEM.stage("align"), self.lesson.options.align
        model = QueryAligner.Config(retriever=blip2.tiny_towers(TOWER))
        run = lesson.run("align", stage, model, steps, lesson.learned[0], CAPTIONS)
        run = replace(run, brought={"retriever.vision": Brought(self.see, "vision")})
        return train([run], self.place / "align")

    @cached_property
    def speaks(self) -> nn.Module:
        """What BLIP-2 ends as."""
        lesson, stage, steps = self.lesson, blip2.SYSTEM.stage("generate"), self.lesson.options.generate
        form, model = lesson.form(hinted=False), lesson.speaker(8, hinted=False)
        run = lesson.run("generate", stage, model, steps, lesson.learned[0], form)
        run = replace(run, start=self.aligned, brought={"lm": Brought(self.reads, "lm")})
        return train([run], self.place / "generate")

    def start(self, queries: int) -> SplicedLM:
        """The same with only the first few of its queries."""
        few = self.lesson.speaker(queries, hinted=False).build()
        state = self.speaks.state_dict()
        name = f"{instructblip.BRIDGE}.qformer.queries"
        few.load_state_dict({**state, name: state[name][:, :queries]})
        return few.eval()

    def taught(self, row: str, queries: int) -> Predictor:
        """A model that learned to answer."""
        lesson, told = self.lesson, row == "told"
        stage, model = instructblip.SYSTEM.stage(STAGES[row]), lesson.speaker(queries, hinted=told)
        run = lesson.run(stage.name, stage, model, lesson.options.instruct, lesson.learned[1], lesson.form(hinted=told))
        text = f"{instructblip.BRIDGE}.qformer.text"
        brought = {text: Brought(self.aligned, "retriever.qformer.text")} if told else {}
        run = replace(run, start=self.start(queries), brought=brought)
        module = train([lesson.examined(run)], self.place / f"{row}-{queries}")
        return Predictor(module, run.card, lesson.words)

    def exams(self, row: str, queries: int) -> Exams:
        """All that is asked of one model."""
        lesson = self.lesson

        def examine() -> Exams:
            ask = looking(self.taught(row, queries))
            return {
                **{name: lesson.exam(ask, templates) for name, templates in ASKED.items()},
                "other pictures": lesson.exam(ask, HELD_IN, moved=1),
            }

        return once(self.place / f"{row}-{queries}" / "exams.json", lesson.options, examine)

    def curve(self, row: str, queries: int) -> list[float]:
        """Right answers on the way, all kinds alike."""
        name = STAGES[row]
        lines = (self.place / f"{row}-{queries}" / f"1-{name}" / "metrics.jsonl").read_text().splitlines()
        exams = [json.loads(line)["validation"] for line in lines]
        return [mean(exam.values()) for exam in exams if exam][:POINTS]

    def blind(self) -> Exams:
        """The language model alone, which is told nothing or the caption, and what guessing gives."""
        lesson, lm = self.lesson, self.start(1)

        def reading(texts: Callable[[Pair], str]) -> Ask:
            def ask(shown: Sequence[Pair], asked: Sequence[str], answers: Sequence[str]) -> Sequence[Answer]:
                pieces = [[f"{texts(pair)} {question}".strip()] for pair, question in zip(shown, asked, strict=True)]
                nothing = torch.empty(len(pieces), 0, dtype=torch.long)
                with torch.inference_mode():
                    given, teller = lm.listen({}, lesson.form(hinted=False).prompter(pieces, []))
                    words = lesson.words.ids(answers)
                    best = rank(teller, given, Text(nothing, nothing.bool()), words, k=len(answers))
                return [Answer(answers[each.places[0]], each.logprobs[0], None) for each in best]

            return ask

        def examine() -> Exams:
            found = dict[str, Mapping[str, float]]()
            for name, texts in BLIND.items():
                for templates in ("held in", "held out"):
                    found[f"{name} {templates}"] = lesson.exam(reading(texts), ASKED[templates])
            return found | {"chance": lesson.chance()}

        return once(self.place / "blind.json", lesson.options, examine)


def looking(model: Predictor) -> Ask:
    """Answers about pictures."""

    def ask(shown: Sequence[Pair], asked: Sequence[str], answers: Sequence[str]) -> Sequence[Answer]:
        return model.answer([pair.image for pair in shown], asked, answers, batch_size=100)

    return ask


def main(options: Options) -> None:
    """Train what is not trained yet, and print the tables."""
    torch.set_num_threads(1)
    seeds = [Taught(Lesson(options, seed)) for seed in options.seeds]
    models = [(row, queries) for queries in options.queries for row in STAGES]
    found = {model: [seed.exams(*model) for seed in seeds] for model in models}
    blind = [seed.blind() for seed in seeds]
    heads = (*KINDS, "all", "all, held-out templates", "all, other pictures")
    print(f"| right answers, % | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for (row, queries), exams in found.items():
        cells = (*_kinds(exams, "held in"), *(_all(exams, exam) for exam in ("held out", "other pictures")))
        print(f"| {ROWS[row]}, queries: {queries} | {' | '.join(cells)} |")
    for name in BLIND:
        print(f"| {name} | {' | '.join((*_kinds(blind, f'{name} held in'), _all(blind, f'{name} held out')))} | |")
    print(f"| chance | {' | '.join(_kinds(blind, 'chance'))} | | |")
    parts = (f"{point}/{POINTS} of the steps" for point in range(1, POINTS + 1))
    print(f"\n| right answers, %, on the way | {' | '.join(parts)} |\n|---|{'---|' * POINTS}")
    for row, queries in models:
        points = zip(*(seed.curve(row, queries) for seed in seeds), strict=True)
        print(f"| {ROWS[row]}, queries: {queries} | {' | '.join(map(cell, points))} |")


def _kinds(exams: Sequence[Exams], name: str) -> list[str]:
    return [*(cell([exam[name][kind] for exam in exams]) for kind in KINDS), _all(exams, name)]


def _all(exams: Sequence[Exams], name: str) -> str:
    return cell([mean(exam[name].values()) for exam in exams])


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
