"""BLIP-2 on pairs of your own or the made world: a vision tower, an aligner, a language model, and what joins them.

chiasm train recipes/blip2.py                                                   # the made world
chiasm train recipes/blip2.py --questions ""  --data photos/ --pixels 64 --out runs/photos     # your own

    see        a tiny CLIP, whose vision tower is then frozen
    align      stage 1: a Q-Former learns what texts say of what it sees
    words      a tiny language model learns from texts alone, and is then frozen
    generate   stage 2: the Q-Former learns to speak to the language model
"""

from dataclasses import dataclass, replace
from typing import Any

from chiasm.archetypes.language_model import LanguageModel
from chiasm.archetypes.queries import QueryAligner
from chiasm.archetypes.spliced import PICTURES
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels
from chiasm.data.batches import CAPTIONS, Form
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Instructions, Texts
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import Chain
from chiasm.data.text import Tokenizer
from chiasm.systems import blip2, clip
from chiasm.training.run import Brought, Run


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    data: str = "world:single?count=8000&phrasings=4"
    """Pairs: whatever docs/data.md lists."""
    questions: str = "questions:single?count=8000"
    """What the language model reads besides: a caption, a question and its answer. "" for none."""
    pixels: int = 32
    """Side of the pictures, a multiple of 8."""
    see: int = 800
    """Steps of each stage."""
    align: int = 800
    words: int = 800
    generate: int = 800
    batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


@dataclass(frozen=True)
class Read:
    """A caption and a question about the same picture, with its answer, as one text."""

    captions: Source
    questions: Source
    question: str

    def __len__(self) -> int:
        return min(len(self.captions), len(self.questions))

    def __getitem__(self, index: int) -> Pair:
        asked, caption = self.questions[index], self.captions[index].text
        tags = asked.tags
        return replace(asked, text=f"{caption} {self.question.format(tags['question'])} {tags['answers'][0]}")

    @property
    def fingerprint(self) -> str:
        return f"{self.captions.fingerprint} {self.questions.fingerprint} {self.question}"


def runs(options: Options) -> tuple[Run, ...]:
    """All of it, each run from what those before it left."""
    pairs, model = open_source(options.data), blip2.tiny()
    read = Read(pairs, open_source(options.questions), model.wording.question) if options.questions else None
    texts: Source = Chain(pairs, read) if read else pairs
    words = Tokenizer.train((texts[row].text for row in range(len(texts))), vocab=1024)
    pixels = Pixels(size=options.pixels, mean=CLIP_MEAN, std=CLIP_STD)
    towers = blip2.tiny_towers()
    speaker = model
    prompter = Prompter(words, speaker.fitted(words.vocab, words.markers).wording, {PICTURES: ""})

    def run(
        name: str, system: str, stage: Stage, model: Any, steps: int, source: Source, form: Form, **more: Any
    ) -> Run:
        return Run(
            name=name, system=system, preset=stage.preset, stage=stage, model=model.fitted(words.vocab, words.markers),
            data=lambda: PairLoader(
                source, ImageProcessor(pixels), words, batch=options.batch, seed=options.seed, form=form
            ),
            pixels=pixels, tokenizer=words, steps=steps, lr=options.lr, min_lr=options.lr / 50, warmup=steps // 20,
            betas=(0.9, 0.98), seed=options.seed, about={"data": source.fingerprint, "batch": options.batch}, **more,
        )  # fmt: skip

    stages = blip2.SYSTEM.stage
    return (
        run("see", "clip", clip.SYSTEM.stage("pretrain"), clip.tiny(), options.see, pairs, CAPTIONS),
        run("words", "blip2", stages("words"), LanguageModel.Config(lm=speaker.lm), options.words, texts,
            Texts(prompter)),
        run("align", "blip2", stages("align"), QueryAligner.Config(retriever=towers), options.align, pairs, CAPTIONS,
            brought={"retriever.vision": Brought("see", "vision")}),
        run("generate", "blip2", stages("generate"), speaker, options.generate, pairs, Instructions(prompter),
            brought={"lm": Brought("words", "lm")}),
    )  # fmt: skip
