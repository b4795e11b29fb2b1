"""BLIP-2, on your own pairs or the made world: queries learn what texts say, then to speak to a language model.

chiasm train recipes/blip2.py                                              # both stages, on the made world
chiasm train recipes/blip2.py --then vqa --out runs/vqa                    # and answers to questions
chiasm train recipes/blip2.py --data photos/ --pixels 64                   # your own
chiasm train recipes/blip2.py --vision openai/clip-vit-base-patch32 --lm runs/blip2/2-words      # what is there

    see        a tiny CLIP, whose tower is then frozen                     left out with --vision
    words      a tiny language model, which is then frozen                 left out with --lm
    align      stage 1: queries learn what texts say of what is seen
    generate   stage 2: they learn to speak to the language model

and then, in the same manner, `caption`, `vqa`, or, without a language model, `retrieve`. One that has an encoder
goes on with how a text begins: `chiasm caption --prompt a`, until it has been through `caption`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from chiasm.archetypes.dual import DualEncoder
from chiasm.archetypes.language_model import LanguageModel
from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.archetypes.spliced import PICTURES, SplicedLM
from chiasm.core.types import Pixels
from chiasm.data.batches import CAPTIONS, Form, asked
from chiasm.data.features import Recalled, Remembered
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Continuations, Halves, Instructions, Texts, Whole
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import Chain, subset
from chiasm.data.text import Tokenizer
from chiasm.nn.encdec import EncDecLM
from chiasm.nn.vit import SOONER, ViT
from chiasm.predictor.open import load
from chiasm.systems import blip2, clip
from chiasm.training.run import Brought, Run

HELD = 20  # one pair in so many is kept aside to validate on
TUNED = ("retrieve", "caption", "vqa")  # these keep the weights that do best on what was kept aside
SEE = replace(clip.SYSTEM.stage("pretrain"), name="see")
WORLD = "world:"
LANGUAGES = {"decoder": blip2.tiny, "encoder-decoder": blip2.tiny_t5}
TEXT = "qformer.text"  # the half of the first stage's Q-Former that stage 2 has no use for, and vqa has


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000&phrasings=4"
    """Pairs: whatever docs/data.md lists; `mix:3*A + 1*B` mixes."""
    questions: str | None = None
    """For vqa, and for the language model to read; left out: those of the made world, if --data is that."""
    then: Literal["nothing", "retrieve", "generate", "caption", "vqa"] = "generate"
    """What comes after the first stage; caption and vqa come after generate."""
    vision: str | None = None
    """A CLIP whose tower sees: a run folder, or a name on the hub. Left out: one is trained first."""
    lm: str | None = None
    """Whose language model speaks: a run `words`, or one that came after it. Left out: one is trained first."""
    language: Literal["decoder", "encoder-decoder"] = "decoder"
    """Which kind is trained first."""
    pixels: int = 32
    """Side of the pictures, a multiple of 8; with --vision that of the tower."""
    features: Path | None = None
    """Where states of the frozen tower are kept in stage 2, so that it sees every picture once; left out: nowhere."""
    see: int = 800
    """Steps of each run; `tune` is for what comes after `generate`, or in its place."""
    words: int = 800
    align: int = 800
    generate: int = 400
    tune: int = 300
    batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


@dataclass(frozen=True)
class Twice:
    """Every text two times in a row: who has never had to look back, as a large model has, listens to no picture."""

    texts: Source

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Pair:
        pair = self.texts[index]
        return replace(pair, text=f"{pair.text} {pair.text}")

    @property
    def fingerprint(self) -> str:
        return f"twice {self.texts.fingerprint}"


@dataclass(frozen=True)
class Read:
    """A text, a question about the same picture and its answer, in a row; no text where the pictures differ."""

    texts: Source
    questions: Source
    wording: str

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> Pair:
        pair = self.questions[index]
        if isinstance(told := asked(pair), str):
            return replace(pair, text="")
        question, answers = told
        beside = self.texts[index] if index < len(self.texts) else None
        text = beside.text if beside and beside.id == pair.id else ""
        return replace(pair, text=f"{text} {self.wording.format(question)} {max(answers, key=answers.__getitem__)}")

    @property
    def fingerprint(self) -> str:
        return f"{self.texts.fingerprint} {self.questions.fingerprint} {self.wording}"


@dataclass(frozen=True)
class Speech:
    """How a language model is spoken to, who has read before, and what there is to read, to say and to answer."""

    speaker: SplicedLM.Config
    reader: nn.Module | str
    pairs: Source
    questions: Source | None
    texts: Source


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    options: Options
    pixels: Pixels
    words: Tokenizer

    def run(self, name: str, model: Any, source: Source, form: Form, brought: Mapping[str, Brought]) -> Run:
        """One of them; every so many pairs are kept aside to validate on."""
        options, stage = self.options, SEE if name == SEE.name else blip2.SYSTEM.stage(name)
        held = subset(source, range(0, len(source), HELD))
        rest = subset(source, [row for row in range(len(source)) if row % HELD])
        steps = options.tune if name in TUNED else getattr(options, name)

        def batches(part: Source) -> PairLoader:
            images = ImageProcessor(self.pixels)
            return PairLoader(part, images, self.words, batch=options.batch, seed=options.seed, form=form)

        def learned() -> PairLoader:
            if options.features is None or name != "generate" or not isinstance(form, Instructions):
                return batches(rest)
            shows = Remembered(options.features, rest, ImageProcessor(self.pixels))
            return PairLoader(rest, shows, self.words, batch=options.batch, seed=options.seed, form=Recalled(form))

        def validate(model: nn.Module) -> Mapping[str, float]:
            """How well the losses do on what was kept aside; larger is better."""
            losses = [torch.stack(list(model(batch).values())).sum() for batch in islice(batches(held), 4)]
            return {"held out": -torch.stack(losses).mean().item()}

        return Run(
            name=name, system="clip" if stage is SEE else "blip2", preset=stage.preset, stage=stage,
            model=model.fitted(self.words.vocab, self.words.markers), data=learned, pixels=self.pixels,
            tokenizer=self.words, steps=steps, lr=options.lr, min_lr=options.lr / 50, warmup=steps // 20,
            betas=(0.9, 0.98), seed=options.seed, validate=validate, validate_every=max(1, steps // 8),
            best="held out" if name in TUNED else "", about={"data": source.fingerprint, "batch": options.batch},
            brought=brought,
        )  # fmt: skip


def runs(options: Options) -> tuple[Run, ...]:
    """All of it, each run from what those before it left."""
    pairs, questions, (speaker, reader, words) = open_source(options.data), _questions(options), _speaker(options)
    asking = () if questions is None else (Read(pairs, questions, speaker.wording.question),)
    texts = Chain(pairs, Twice(pairs), *asking)
    words = words or Tokenizer.train((texts[row].text for row in range(len(texts))), vocab=1024)
    seer, tower, pixels = _tower(options)
    bench, towers = Bench(options, pixels, words), blip2.tiny_towers()
    queries = replace(towers, vision=tower, qformer=replace(towers.qformer, image_dim=tower.dim))
    see = bench.run(SEE.name, replace(clip.tiny(), vision=tower), pairs, CAPTIONS, {})
    align = bench.run(
        "align", QueryAligner.Config(retriever=queries), pairs, CAPTIONS, {"retriever.vision": Brought(seer, "vision")}
    )
    first = (see,) if seer == SEE.name else ()
    if options.then == "nothing":
        return *first, align
    if options.then == "retrieve":
        return *first, align, bench.run("retrieve", align.model, pairs, CAPTIONS, {})
    return *first, *_spoken(bench, Speech(speaker, reader, pairs, questions, texts), queries, align)


def _spoken(bench: Bench, speech: Speech, queries: QueryRetriever.Config, align: Run) -> tuple[Run, ...]:
    """The second stage, and what comes after it, with what has to come before."""
    pairs, questions, lm, wording = speech.pairs, speech.questions, speech.speaker.lm, speech.speaker.wording
    words, halves = bench.words, isinstance(lm, EncDecLM.Config)
    plain = Prompter(words, speech.speaker.fitted(words.vocab, words.markers).wording, {PICTURES: ""})
    read = Texts(plain, Halves() if halves else Whole())
    form = Continuations(plain) if halves else Instructions(plain)
    told, reader = blip2.speaker(queries, lm, wording), {"lm": Brought(speech.reader, "lm")}
    reads = bench.run("words", LanguageModel.Config(lm=lm), speech.texts, read, {})
    stages = (
        *((reads,) if speech.reader == reads.name else ()),
        align,
        bench.run("generate", told, pairs, form, reader),
    )
    if bench.options.then == "caption":
        return *stages, bench.run("caption", told, pairs, Instructions(plain), {})
    if bench.options.then != "vqa":
        return stages
    if questions is None:
        raise ValueError("--then vqa learns from questions, but there are none: say where they are, --questions")
    hinted = Instructions(replace(plain, hints=words), ask=(wording.question,))
    text = {f"{blip2.BRIDGE}.{TEXT}": Brought("align", f"retriever.{TEXT}")}
    return *stages, bench.run("vqa", blip2.asked(queries, lm, wording), questions, hinted, text)


def _questions(options: Options) -> Source | None:
    """Those that are given, or the made world's own."""
    if options.questions is None and options.data.startswith(WORLD):
        return open_source(options.data.replace(WORLD, "questions:", 1))
    return open_source(options.questions) if options.questions else None


def _speaker(options: Options) -> tuple[SplicedLM.Config, nn.Module | str, Tokenizer | None]:
    """How the language model is built and spoken to; who has read before; and the words of one that is there."""
    if options.lm is None:
        return LANGUAGES[options.language](), "words", None
    given = load(options.lm, device="cpu", dtype=torch.float32)
    if not isinstance(given.config, LanguageModel.Config | SplicedLM.Config):
        raise ValueError(f"--lm takes a language model, but {options.lm} is {given.system}/{given.preset}")
    if isinstance(given.config, SplicedLM.Config):
        return given.config, given.module, given.tokenizer
    kind = "encoder-decoder" if isinstance(given.config.lm, EncDecLM.Config) else "decoder"
    return replace(LANGUAGES[kind](), lm=given.config.lm), given.module, given.tokenizer


def _tower(options: Options) -> tuple[nn.Module | str, ViT.Config, Pixels]:
    """Who has seen before, with its tower's config and pictures: a model that is there, or the run to come."""
    if options.vision is None:
        pixels = Pixels(size=options.pixels, mean=CLIP_MEAN, std=CLIP_STD)
        return SEE.name, clip.tiny(SOONER).vision.sized(options.pixels), pixels
    given = load(options.vision, device="cpu", dtype=torch.float32)
    if not isinstance(given.config, DualEncoder.Config):
        raise ValueError(f"--vision takes a CLIP, but {options.vision} is {given.system}/{given.preset}")
    return given.module, given.config.vision, given.processor.pixels
