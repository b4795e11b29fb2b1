"""BLIP-2's first claims in miniature: what the first stage is worth to the second, and what makes up the first.

    OMP_NUM_THREADS=1 nice python recipes/claims/blip2.py     # prints the tables of docs/results/blip2.md

A tiny CLIP learns to see, a tiny language model to read; both are then frozen. Queries learn what texts say of
pictures (arXiv:2301.12597, section 3.1), with and without one of the losses, as many as usual and only one;
then they learn to speak to the language model (section 3.2): from where the first stage left them, from nothing
(figure 5), or from pictures dealt out anew; and at last they answer questions. The same command again goes on where
it stopped; several processes may take a seed each (`--seeds 0`, `--seeds 1`).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import tyro
from measured import cell
from torch import nn

from chiasm.archetypes.language_model import LanguageModel
from chiasm.archetypes.queries import QueryAligner
from chiasm.archetypes.spliced import PICTURES, SplicedLM
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels
from chiasm.data.batches import CAPTIONS, Form
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Continuations, Halves, Instructions, Texts, Whole
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.prompts import Prompter
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import Chain, Drawn, drawn
from chiasm.data.sources.grammar import parse, say
from chiasm.data.sources.tasks import WorldQuestions
from chiasm.data.sources.world import PRESETS, WorldPairs
from chiasm.data.text import Tokenizer
from chiasm.evaluation.captioning import attributes
from chiasm.evaluation.retrieval import equal_texts, rerank, retrieval, wanted
from chiasm.nn import vit
from chiasm.nn.vit import ViT
from chiasm.objectives.contrastive import cosines
from chiasm.predictor.verbs import Predictor
from chiasm.systems import blip2, clip
from chiasm.training.freeze import groups
from chiasm.training.run import Brought, Run
from chiasm.training.train import train

PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
TOWER = vit.tiny(vit.SOONER)
POINTS = 6  # of a learning curve
SHORT = 10  # texts, and pictures, that matching orders
SEE_BATCH = 128  # texts that differ in the shape alone are rare
PHRASINGS = 4
TABLES = ("first", "second", "answers")
WHOLE = Whole()
NAMES = {"cosine": "R@1 by cosine, %", "re-ranked": "R@1 re-ranked, %", "answers": "answers, never taught"}
FACTS = ("size", "colour", "shape", "place")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims/blip2")
    """Where the trained models go."""
    seeds: tuple[int, ...] = (0, 1, 2)
    world: str = "single"
    tables: tuple[str, ...] = TABLES
    """To be printed; `--world pair --tables first` finds pictures of two things."""
    see: int = 800
    """Steps of each stage."""
    words: int = 800
    align: int = 400
    generate: int = 300
    vqa: int = 200
    batch: int = 64
    lr: float = 1.5e-3
    pairs: int = 8000
    """To learn from."""
    tests: int = 250
    """Pictures to be described, found and asked about."""


@dataclass(frozen=True, kw_only=True)
class First:
    """A first stage, by what it is denied."""

    without: tuple[str, ...] = ()
    queries: int = 8


@dataclass(frozen=True, kw_only=True)
class Second:
    """A second stage: which first stage it follows, if any, and what it learns from."""

    after: str = ""
    shuffled: bool = False
    longer: bool = False  # as many steps as both stages
    speaks: str = "words"  # to which language model


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A language model: its kind, which texts it reads, and what a caption begins with that it goes on with."""

    told: Callable[[ViT.Config], SplicedLM.Config] = blip2.tiny
    reads: str = "again"
    parts: Whole | Halves = WHOLE
    opening: str = ""


SPEAKERS = {
    "words": Speaker(),
    "words-once": Speaker(reads="once"),
    "words-halves": Speaker(told=blip2.tiny_t5, parts=Halves(), opening="a"),
}
FIRST = {
    "all three losses": First(),
    "without generation": First(without=("generate",)),
    "all three losses, one query": First(queries=1),
    "all three losses, 32 queries": First(queries=32),
}
SECOND = {
    "after the first stage": Second(after="all three losses"),
    "without the first stage": Second(),
    "after the first stage, pictures dealt out anew": Second(after="all three losses", shuffled=True),
    "without it, for as many steps as both stages": Second(longer=True),
    "after a first stage without generation": Second(after="without generation"),
    "after the first stage, speaking to who read nothing twice": Second(after="all three losses", speaks="words-once"),
    "encoder-decoder, after the first stage": Second(after="all three losses", speaks="words-halves"),
    "encoder-decoder, without the first stage": Second(speaks="words-halves"),
    "encoder-decoder, without it, for as many steps as both stages": Second(longer=True, speaks="words-halves"),
}
ASKED = ("after the first stage", "without the first stage")  # who is taught to answer, too


def shuffled(pairs: Drawn) -> Drawn:
    """Every text with the picture of another one."""
    pictures = chance("shuffled", pairs.fingerprint).sample([pair.image for pair in pairs.pairs], len(pairs))
    return pairs.each(lambda row, pair: replace(pair, image=pictures[row]), "shuffled")


@dataclass(frozen=True)
class Lesson:
    """All that a seed learns from, and how it is examined."""

    options: Options
    seed: int

    def drawn(self, split: str, count: int) -> tuple[Drawn, Drawn]:
        """Captions, and questions about the same pictures."""
        world = WorldPairs(
            replace(PRESETS[self.options.world](), phrasings=PHRASINGS), seed=self.seed, count=count, split=split
        )
        captions = drawn(world)
        asked = WorldQuestions(world, kinds=("attribute",))
        return captions, captions.each(lambda row, _: asked[row], "asked")

    @cached_property
    def learned(self) -> tuple[Drawn, Drawn]:
        return self.drawn("train", self.options.pairs)

    @cached_property
    def tests(self) -> tuple[Drawn, Drawn]:
        return self.drawn("test", self.options.tests)

    @cached_property
    def read(self) -> Mapping[str, Source]:
        """Captions, alone and followed by a question and its answer, or by another one of the same thing.

        Without the last a language model hardly learns to look back, which large ones do.
        """
        captions, asked = self.learned

        def answered(row: int, pair: Pair) -> Pair:
            tags = asked[row].tags
            question = blip2.DECODES.question.format(tags["question"])
            return replace(pair, text=f"{pair.text} {question} {tags['answers'][0]}")

        def again(row: int, pair: Pair) -> Pair:
            words = chance("again", row).randrange(PHRASINGS)
            return replace(pair, text=f"{pair.text} {say(pair.tags['facts'], words)}")

        once = captions, captions.each(answered, "answered")
        return {"once": Chain(*once), "again": Chain(*once, captions.each(again, "again"))}

    @cached_property
    def words(self) -> Tokenizer:
        read = self.read["again"]
        return Tokenizer.train((read[row].text for row in range(len(read))), vocab=256)

    def told(self, speaker: Speaker) -> SplicedLM.Config:
        return speaker.told(TOWER).fitted(self.words.vocab, self.words.markers)

    def run(self, name: str, stage: Stage, model: Any, steps: int, source: Source, form: Form) -> Run:
        """One stage of one model."""
        batch = SEE_BATCH if name == "see" else self.options.batch
        return Run(
            name=name, system="clip" if name == "see" else "blip2", preset=stage.preset, stage=stage,
            model=model.fitted(self.words.vocab, self.words.markers), pixels=PIXELS, tokenizer=self.words, steps=steps,
            data=lambda: PairLoader(
                source, ImageProcessor(PIXELS), self.words, batch=batch, seed=self.seed, form=form
            ),
            lr=self.options.lr, min_lr=self.options.lr / 50, warmup=steps // 20, betas=(0.9, 0.98), seed=self.seed,
            about={"data": source.fingerprint, "batch": batch},
        )  # fmt: skip

    def examined(self, run: Run, exam: Callable[[Predictor], Mapping[str, float]], *, points: int = POINTS) -> Run:
        """The same run, examined on its way."""

        def validate(model: nn.Module) -> Mapping[str, float]:
            with torch.random.fork_rng(devices=[]):
                return exam(Predictor(model, run.card, self.words))

        return replace(run, validate=validate, validate_every=max(1, run.steps // points))

    def prompter(self, speaker: Speaker) -> Prompter:
        return Prompter(self.words, self.told(speaker).wording, {PICTURES: ""})

    def found(self, model: Predictor) -> dict[str, float]:
        """R@1 in percent, the mean of both directions."""
        pairs = self.tests[0].pairs
        pictures, texts = [pair.image for pair in pairs], [pair.text for pair in pairs]
        cosine = cosines(model.embed(images=pictures, batch_size=100), model.embed(texts=texts, batch_size=100))
        picture, text = wanted(cosine, SHORT).nonzero().T.tolist()
        judged = model.match([pictures[row] for row in picture], [texts[row] for row in text], batch_size=400)
        if judged.itm_logits is None:
            raise ValueError(f"{model.preset} has no head to match with")
        logits = torch.zeros_like(cosine)
        logits[picture, text] = judged.itm_logits[:, 1] - judged.itm_logits[:, 0]
        right = equal_texts([pair.tags["truth"] for pair in pairs])
        ordered = rerank(cosine, logits, SHORT), rerank(cosine.T, logits.T, SHORT)
        return {
            "cosine": 100 * retrieval(cosine, right, [1])["mean@1"],
            "re-ranked": 100 * retrieval(ordered[0], right, [1], pictures=ordered[1])["mean@1"],
        }

    def described(self, opening: str, model: Predictor) -> dict[str, float]:
        """Captions that say what is there, in whatever words, and the facts that are right in them; in percent."""
        pairs = self.tests[0].pairs
        told = model.caption([pair.image for pair in pairs], opening, batch_size=125)
        said = [parse(f"{opening} {one.text}".strip()) for one in told]
        true = [pair.tags["facts"] for pair in pairs]
        right = {name: 100 * marks.mean().item() for name, marks in attributes(said, true).items()}
        return {"captions": _share([ours == theirs for ours, theirs in zip(said, true, strict=True)])} | right

    def spoken(self, opening: str, model: Predictor) -> dict[str, float]:
        """Both, of a model that was never taught to answer."""
        return self.described(opening, model) | self.answered(model)

    def answered(self, model: Predictor) -> dict[str, float]:
        """Questions that get exactly the right answer, in percent."""
        pairs = self.tests[1].pairs
        said = model.answer([pair.image for pair in pairs], [pair.text for pair in pairs], batch_size=125)
        return {"answers": _share([one.text == pair.tags["answers"][0] for one, pair in zip(said, pairs, strict=True)])}


Curve = Sequence[Mapping[str, float]]  # what an exam found, from point to point


@dataclass(frozen=True)
class Taught:
    """The models of one seed; each is trained once."""

    lesson: Lesson

    @property
    def place(self) -> Path:
        return self.lesson.options.out / f"seed-{self.lesson.seed}"

    @cached_property
    def see(self) -> nn.Module:
        lesson = self.lesson
        stage, steps = clip.SYSTEM.stage("pretrain"), lesson.options.see
        run = lesson.run("see", stage, clip.tiny(vit.SOONER), steps, lesson.learned[0], CAPTIONS)
        return train([run], self.place / "see")

    def reads(self, name: str) -> nn.Module:
        """A language model."""
        lesson, speaker = self.lesson, SPEAKERS[name]
        model, form = LanguageModel.Config(lm=lesson.told(speaker).lm), Texts(lesson.prompter(speaker), speaker.parts)
        texts, steps = lesson.read[speaker.reads], lesson.options.words
        return train([lesson.run("words", _stage("words"), model, steps, texts, form)], self.place / name)

    def first(self, name: str) -> nn.Module:
        """A first stage."""
        lesson, row, towers, stage = self.lesson, FIRST[name], blip2.tiny_towers(TOWER), _stage("align")
        qformer = replace(towers.qformer, queries=row.queries)
        model = QueryAligner.Config(retriever=replace(towers, qformer=qformer))
        stage = replace(stage, losses={**stage.losses, **dict.fromkeys(row.without, 0.0)})
        run = lesson.run("align", stage, model, lesson.options.align, lesson.learned[0], CAPTIONS)
        run = replace(run, brought={"retriever.vision": Brought(self.see, "vision")})
        return train([lesson.examined(run, lesson.found, points=1)], self.place / _plain(name))

    def second(self, name: str) -> nn.Module:
        """A second stage."""
        lesson, row, stage = self.lesson, SECOND[name], _stage("generate")
        pairs, reader, speaker = lesson.learned[0], self.reads(row.speaks), SPEAKERS[row.speaks]
        brought = {"lm": Brought(reader, "lm")}
        steps = lesson.options.generate + (lesson.options.align if row.longer else 0)
        if not row.after:
            stage, brought = replace(stage, inherit={}), {**brought, blip2.ENCODER: Brought(self.see, "vision")}
        prompter, model = lesson.prompter(speaker), lesson.told(speaker)
        form = Continuations(prompter) if isinstance(speaker.parts, Halves) else Instructions(prompter)
        run = lesson.run("generate", stage, model, steps, shuffled(pairs) if row.shuffled else pairs, form)
        run = replace(run, brought=brought, start=self.first(row.after) if row.after else None)
        exam = partial(lesson.spoken, speaker.opening)
        model = train([lesson.examined(run, exam)], self.place / _plain(name))
        for path, given in ((blip2.ENCODER, self.see.get_submodule("vision")), ("lm", reader.get_submodule("lm"))):
            _same(model.get_submodule(path), given)
        return model

    def asked(self, name: str) -> nn.Module:
        """Who learns to answer after a second stage."""
        lesson, after = self.lesson, SECOND[name].after
        model = blip2.asked(blip2.tiny_towers(TOWER), blip2.tiny().lm, blip2.tiny().wording)
        prompter = replace(lesson.prompter(SPEAKERS["words"]), hints=lesson.words)
        form = Instructions(prompter, ask=(prompter.wording.question,))
        run = lesson.run("vqa", _stage("vqa"), model, lesson.options.vqa, lesson.learned[1], form)
        text = {f"{blip2.BRIDGE}.qformer.text": Brought(self.first(after), "retriever.qformer.text")} if after else {}
        run = replace(run, brought=text, start=self.second(name))
        return train([lesson.examined(run, lesson.answered)], self.place / f"{_plain(name)}-asked")

    def curves(self) -> dict[str, dict[str, Curve]]:
        """All exams of all models, by table and row."""
        found: dict[str, dict[str, Curve]] = {}
        taught = {
            "second": (self.second, SECOND, "{}/1-generate"),
            "answers": (self.asked, ASKED, "{}-asked/1-vqa"),
            "first": (self.first, FIRST, "{}/1-align"),
        }
        for title, (teach, rows, folder) in taught.items():
            for name in rows if title in self.lesson.options.tables else ():
                teach(name)
                lines = (self.place / folder.format(_plain(name)) / "metrics.jsonl").read_text().splitlines()
                exams = [json.loads(line)["validation"] for line in lines]
                found.setdefault(title, {})[name] = [exam for exam in exams if exam]
        return found


def main(options: Options) -> None:
    """Train what is not trained yet, and print the tables."""
    torch.set_num_threads(1)
    seeds = [Taught(Lesson(options, seed)).curves() for seed in options.seeds]
    points = [f"{point + 1}/{POINTS}" for point in range(POINTS)]
    for title, rows, head, exam, last in (
        ("first", FIRST, "first stage", "", ("cosine", "re-ranked")),
        ("second", SECOND, "captions right, %, after a part of the steps", "captions", (*FACTS, "answers")),
        ("answers", ASKED, "answers right, %, taught to answer", "answers", ()),
    ):
        if title not in options.tables:
            continue
        print(f"\n{_line(head, columns := (*(points if exam else ()), *(NAMES.get(one, one) for one in last)))}")
        print("|---" * (1 + len(columns)) + "|")
        for name in rows:
            curves = [seed[title][name] for seed in seeds]
            cells = [cell(point[exam] for point in points) for points in zip(*curves, strict=True) if exam]
            print(_line(name, (*cells[:POINTS], *(cell(curve[-1][one] for curve in curves) for one in last))))
    learns, whole = _share_of_what_learns(Lesson(options, options.seeds[0]))
    print(f"\nThe second stage trains {learns:,} of {whole:,} parameters; the others are the same to the bit.")


def _line(name: str, cells: Iterable[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _share_of_what_learns(lesson: Lesson) -> tuple[int, int]:
    model = lesson.told(SPEAKERS["words"]).build()
    learns = groups(model, _stage("generate"), weight_decay=0.0)
    count = sum(weight.numel() for group in learns for weight in group["params"])
    return count, sum(weight.numel() for weight in model.parameters())


def _same(ours: nn.Module, given: nn.Module) -> None:
    """Nothing that is frozen has moved."""
    theirs = given.state_dict()
    if moved := [name for name, tensor in ours.state_dict().items() if not torch.equal(tensor, theirs[name])]:
        raise ValueError(f"what is frozen has moved: {', '.join(moved)}")


def _stage(name: str) -> Stage:
    return blip2.SYSTEM.stage(name)


def _share(marks: Sequence[bool]) -> float:
    return 100 * sum(marks) / len(marks)


def _plain(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).split())


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
