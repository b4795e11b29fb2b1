"""X-InstructBLIP on the made world: each sense learns alone what a language model of texts can be asked.

chiasm train recipes/xinstructblip.py
chiasm train recipes/xinstructblip.py --world "backdrop?count=4000" --out runs/backdrop

    see, align         a tiny CLIP, and BLIP-2's first stage over its tower
    words              a tiny language model reads of things in words, one or two after their cues, and of what is asked
    image, video       one connector after the other learns to speak to the frozen language model
    audio, points      the same, each after its encoder has learned what there is to perceive, since there is no other

No sense is ever shown beside another one. But a language model this small does not compare what it is shown, only
what it is told (docs/results/xinstructblip.md); so connectors also learn from questions about two things of which
the other one is told in words. The paper does without; so does `--no-beside`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chiasm.archetypes.language_model import LanguageModel
from chiasm.archetypes.queries import QueryAligner
from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels
from chiasm.data.batches import CAPTIONS, Form
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Behind, Instructions, Sensed, Texts
from chiasm.data.loader import PairLoader, Shows
from chiasm.data.pairs import Pair, Source
from chiasm.data.perceive import Senses, wanted
from chiasm.data.prompts import Prompter
from chiasm.data.sources import senses, world
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import Chain
from chiasm.data.sources.grammar import say
from chiasm.data.sources.questions import drawn, questions
from chiasm.data.sources.world import WorldPairs
from chiasm.data.text import Tokenizer
from chiasm.nn import vit
from chiasm.nn.points import AllGroups
from chiasm.systems import blip2, clip, xinstructblip
from chiasm.training.run import Brought, Run

TASK = "describe it"
TOWER = vit.tiny(vit.SOONER)
CUED = xinstructblip.tiny(AllGroups(), vision=TOWER)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    world: str = "single?count=4000"
    """A made world whose scenes have one thing."""
    colours: int = 4
    """So many of its colours and shapes: the more there are, the longer takes all of it."""
    shapes: int = 4
    senses: tuple[str, ...] = ("image", "video", "sound", "points")
    """Pictures come first."""
    beside: bool = True
    """Ask each sense about its thing beside another one in words, too."""
    cues: bool = True
    """Announce a thing by the sense that perceives it."""
    see: int = 800
    """Steps of each stage."""
    align: int = 800
    words: int = 800
    perceive: int = 800
    """Of those in which an encoder learns with its connector."""
    speak: int = 800
    """Of those in which a connector learns alone."""
    batch: int = 64
    lr: float = 1.5e-3
    seed: int = 0


@dataclass(frozen=True)
class Read:
    """What senses are shown, in words instead, and what is asked about it: about one thing, then about two."""

    pairs: WorldPairs
    senses: tuple[senses.Sense, ...]
    model: SplicedLM.Config

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        rng = chance("read", self.pairs.seed, index)
        first, second = rng.sample(self.senses, 2)
        if index % 2:
            both = senses.Joint(self.pairs, (first, second)).asked(index)
            scenes, ways, asked = both.scenes, both.senses, (both.question.text, both.question.answer)
        else:
            scenes, ways = (self.pairs.scene(index),), (first,)
            told = first.told(scenes[0])
            one = drawn(questions(told), rng)
            asked = rng.choice(((one.text, one.answer), (TASK, say(dict(told.facts)))))
        things = zip(ways, scenes, strict=True)
        called = [(way.name, say(dict(way.told(scene).facts))) for way, scene in things]
        return Pair(f"read-{index}", b"", self.text(called, *asked))

    def text(self, called: list[tuple[str, str]], question: str, answer: str) -> str:
        """As the model will be shown it, but for the words in place of what is shown."""
        wording, cues = self.model.wording, {sense.name: sense.cue for sense in self.model.senses}
        things = " ".join(f"{cues[name]}{caption}" for name, caption in called)
        return f"{wording.before}{things} {question}{wording.after} {answer}"

    @property
    def fingerprint(self) -> str:
        return f"read {self.pairs.fingerprint} {self.senses}"


def few(options: Options, **other: Any) -> WorldPairs:
    """The world, with as many colours and shapes as were asked for."""
    pairs = world.open_world(f"world:{options.world}")
    smaller = replace(
        pairs.world, colours=pairs.world.colours[: options.colours], shapes=pairs.world.shapes[: options.shapes]
    )
    return replace(pairs, world=smaller, seed=options.seed, **other)


def _beside(pairs: WorldPairs, one: senses.Sense, ways: Sequence[senses.Sense]) -> list[senses.Beside]:
    """Questions about what one sense perceives and another thing, by each of the other senses, in words."""
    return [senses.Beside(senses.Joint(pairs, (one, other)), one) for other in ways if other != one]


def runs(options: Options) -> tuple[Run, ...]:
    """All of it, each run from what those before it left."""
    model, pairs = CUED if options.cues else xinstructblip.uncued(CUED), few(options)
    ways = tuple(senses.SENSES[name](pairs.world) for name in options.senses)
    read = Read(pairs, ways, CUED)
    texts = (text for row in range(min(2000, len(read))) for text in (read[row].text, pairs[row].text))
    words = Tokenizer.train(texts, vocab=256)
    pixels = Pixels(size=pairs.world.pixels, mean=CLIP_MEAN, std=CLIP_STD)
    images, fitted = ImageProcessor(pixels), model.fitted(words.vocab, words.markers)
    prompter = Prompter(words, fitted.wording, {sense.name: sense.cue for sense in model.senses}, words)
    about = {way.name: Chain(senses.Sensed(pairs, way), senses.SensedQuestions(pairs, way)) for way in ways}
    others = {one.name: _beside(pairs, one, ways) if options.beside else [] for one in ways}
    perceives = {sense.name: Senses({sense.name: wanted(sense.media, images)}) for sense in model.senses}
    told = Sensed(Instructions(prompter, describe=(TASK,)))

    def run(
        system: str,
        stage: Stage,
        model: Any,
        steps: int,
        source: Source,
        form: Form,
        *,
        shown: ImageProcessor | Shows = images,
        **more: Any,
    ) -> Run:
        return Run(
            name=stage.name, system=system, preset=stage.preset, stage=stage,
            model=model.fitted(words.vocab, words.markers), pixels=pixels, tokenizer=words, steps=steps,
            data=lambda: PairLoader(source, shown, words, batch=options.batch, seed=options.seed, form=form),
            lr=options.lr, min_lr=options.lr / 50, warmup=steps // 20, betas=(0.9, 0.98), seed=options.seed,
            about={"data": source.fingerprint, "batch": options.batch}, **more,
        )  # fmt: skip

    def learned(name: str) -> Run:
        sense, stage = name.rpartition("-")[2], xinstructblip.SYSTEM.stage(name)
        steps, source = options.perceive, about[sense]
        if name == sense:
            steps, source = options.speak, Chain(source, *others[sense])
        brought = {"lm": Brought("words", "lm")} if name == "image" else {}
        return run("xinstructblip", stage, model, steps, source, told, shown=perceives[sense], brought=brought)

    stage, aligner = blip2.SYSTEM.stage, QueryAligner.Config(retriever=blip2.tiny_towers(TOWER))
    read_only = Texts(replace(prompter, hints=None), Behind(model.wording.after.strip()))
    names = [way.name for way in ways]
    learns = [one.name for one in xinstructblip.SYSTEM.stages if one.name.rpartition("-")[2] in names]
    return (
        run("blip2", stage("words"), LanguageModel.Config(lm=model.lm), options.words, read, read_only),
        run("clip", clip.SYSTEM.stage("pretrain"), clip.tiny(vit.SOONER), options.see, pairs, CAPTIONS),
        run("blip2", stage("align"), aligner, options.align, pairs, CAPTIONS,
            brought={"retriever.vision": Brought("pretrain", "vision")}),
        *map(learned, learns),
    )  # fmt: skip
