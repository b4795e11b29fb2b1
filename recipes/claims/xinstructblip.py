"""X-InstructBLIP's claim in miniature: senses that learned alone are asked about two things at once.

    OMP_NUM_THREADS=1 nice python recipes/claims/xinstructblip.py

It prints the tables of docs/results/xinstructblip.md. A tiny language model learns from texts what is asked about two
things in words; then it is frozen, and each sense learns alone to speak to it (`recipes/xinstructblip.py`): as in the
paper, asked about its own thing only, or also about its thing and another one in words. Only then are two shown
together (arXiv:2311.18799): which of them is larger, and have they the same size, colour or shape? One thing alone
leaves these open. The same command again goes on where it stopped.
"""

import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path
from types import ModuleType

import torch
import tyro
from measured import cell, once
from torch import Tensor

from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.types import Text
from chiasm.data.images import ImageProcessor
from chiasm.data.pairs import Pair
from chiasm.data.perceive import Senses, wanted
from chiasm.data.prompts import Piece, Prompter
from chiasm.data.sources import senses
from chiasm.data.sources.grammar import understand
from chiasm.data.text import Tokenizer
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Greedy, Limits
from chiasm.evaluation.captioning import attributes
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor
from chiasm.training.run import Brought, Run
from chiasm.training.train import train

KINDS = ("larger", "same")
FIELDS = ("size", "colour", "shape")
TRAINED: Mapping[str, Mapping[str, bool]] = {  # options of the recipe
    "as in the paper": {"beside": False},
    "beside words": {"beside": True},
    "never with cues": {"beside": True, "cues": False},
}
COMMON = ("words", "pretrain", "align")  # runs of the recipe that know nothing of senses
SHARED = ("senses", "world", "see", "align", "words", "perceive", "speak", "lr")  # options of the recipe
BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be changed."""

    out: Path = Path("runs/claims/xinstructblip")
    """Where the trained models go."""
    seeds: tuple[int, ...] = (0, 1, 2)
    senses: tuple[str, ...] = ("image", "sound", "points")
    """Pictures come first; every two are asked about together."""
    tests: int = 400
    """Pairs of things that are asked about, and things that are described."""
    world: str = "single?count=3000"
    see: int = 800
    """Steps of each stage, as in the recipe."""
    align: int = 400
    words: int = 600
    perceive: int = 400
    speak: int = 400
    lr: float = 2e-3


Cues = Mapping[str, str]


def learned(cues: Cues, _names: Sequence[str]) -> Cues:
    """As in training."""
    return cues


def silent(cues: Cues, _names: Sequence[str]) -> Cues:
    """None at all."""
    return dict.fromkeys(cues, "")


def exchanged(cues: Cues, names: Sequence[str]) -> Cues:
    """Each of the two senses with the other one's."""
    one, other = names
    return {**cues, one: cues[other], other: cues[one]}


def described(task: str, _question: str) -> str:
    """Q-Formers are asked for a description, as in the paper's evaluation of two senses."""
    return task


def asked(_task: str, question: str) -> str:
    """They are told the question, as in training."""
    return question


@dataclass(frozen=True, kw_only=True)
class Way:
    """How two things are shown and asked about."""

    hint: Callable[[str, str], str] = asked
    cues: Callable[[Cues, Sequence[str]], Cues] = learned
    others: tuple[int, ...] = ()  # of the two senses, those that are shown things of other questions
    withheld: tuple[int, ...] = ()  # and those that are shown nothing


WAYS: Mapping[str, Way] = {
    "both are shown": Way(),
    "both, Q-Formers told to describe": Way(hint=described),
    "both, without cues": Way(cues=silent),
    "both, cues exchanged": Way(cues=exchanged),
    "another {0}": Way(others=(0,)),
    "another {1}": Way(others=(1,)),
    "no {0}": Way(withheld=(0,)),
    "no {1}": Way(withheld=(1,)),
}
ALONE = "descriptions of one thing"
READ, SOCRATIC = "the language model reads what is true of both", "it reads what each sense said of its thing"
Found = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Exam:
    """A trained model, and what it is asked."""

    model: SplicedLM
    words: Tokenizer
    images: ImageProcessor
    task: str
    read: Cues  # those in the texts that the language model learned from

    @property
    def shows(self) -> Senses:
        return Senses({name: wanted(media, self.images) for name, media in self.model.media.items()})

    def prompter(self, cues: Mapping[str, str]) -> Prompter:
        return Prompter(self.words, self.model.wording, cues, self.words)

    @torch.inference_mode()
    def says(
        self, shown: Mapping[str, Tensor], rows: Sequence[Sequence[Piece]], hints: Sequence[str], prompter: Prompter
    ) -> list[str]:
        """What the model says to each row."""
        perceived = {sense: self.model.perceive(sense, media) for sense, media in shown.items()}
        given, teller = self.model.listen(perceived, prompter(rows, hints))
        nothing = torch.empty(len(rows), 0, dtype=torch.int64)
        spoken = generate(teller, given, Text(nothing, nothing.bool()), Greedy(), Limits(16))
        return [self.words.decode(one.ids) for (one,) in spoken]

    def describes(self, pairs: Sequence[Pair]) -> list[str]:
        """What each sense says of its thing, alone."""
        shown = self.shows.together([self.shows.decode(row, pair) for row, pair in enumerate(pairs)])
        prompter = self.prompter(self.model.cues)
        rows = [prompter.turn(pair.tags["senses"], self.task) for pair in pairs]
        return self.says(shown, rows, [self.task] * len(rows), prompter)

    def answers(self, pairs: Sequence[Pair], way: Way, names: Sequence[str]) -> list[str]:
        """Answers to questions about two things, shown in some way; `names` are those of the two senses."""
        hidden = {names[place] for place in way.withheld}
        seen = [self.shows.decode(row, pair) for row, pair in enumerate(pairs)]
        things = [[each for each in row if each[0] not in hidden] for row in seen]
        shown = self.shows.together(things)
        shown |= {names[place]: shown[names[place]].roll(1, dims=0) for place in way.others}
        questions = [pair.tags["question"] for pair in pairs]
        prompter = self.prompter(way.cues(self.model.cues, names))
        told = zip(things, questions, strict=True)
        rows = [prompter.turn([sense for sense, _ in row], question) for row, question in told]
        return self.says(shown, rows, [way.hint(self.task, question) for question in questions], prompter)

    def reads(self, pairs: Sequence[Pair], captions: Sequence[Sequence[str]]) -> list[str]:
        """Answers to the same questions about things in words."""
        rows = list[list[Piece]]()
        for pair, called in zip(pairs, captions, strict=True):
            named = zip(pair.tags["senses"], called, strict=True)
            things = [f"{self.read[sense]}{text}" for sense, text in named]
            rows.append([self.model.wording.before, *things, pair.tags["question"], self.model.wording.after])
        return self.says({}, rows, [""] * len(rows), self.prompter(self.read))


def main(options: Options) -> None:
    """Train and measure what was not measured yet, then print the tables."""
    torch.set_num_threads(1)
    seeds = [{name: _measured(options, seed, name) for name in TRAINED} for seed in options.seeds]
    for title in seeds[0][next(iter(TRAINED))]:
        columns = FIELDS if title == ALONE else (*KINDS, "all")
        _table(title, columns, [{name: measured[title] for name, measured in seed.items()} for seed in seeds])


def _measured(options: Options, seed: int, name: str) -> Mapping[str, Found]:
    """Tables of one model."""
    place, recipe = options.out / f"seed-{seed}", _recipe()

    def examine() -> Mapping[str, Found]:
        shared = {option: value for option, value in vars(options).items() if option in SHARED}
        launch = recipe.Options(**shared, seed=seed, **TRAINED[name])
        trained = _trained(recipe.runs(launch), place, name)
        if not isinstance(model := trained.module, SplicedLM):
            raise ValueError(f"{place} holds a {trained.system}, but joint questions take a model of several senses")
        images, cues = ImageProcessor(trained.card.pixels), {each.name: each.cue for each in recipe.CUED.senses}
        exam = Exam(model, trained.tokenizer, images, recipe.TASK, cues)
        test = recipe.few(launch, split="test", count=options.tests)
        ways = [senses.SENSES[each](test.world) for each in options.senses]
        pairs = {" and ".join(way.noun for way in two): senses.Joint(test, two) for two in combinations(ways, 2)}
        return {title: _joint(exam, source) for title, source in pairs.items()} | {ALONE: _alone(exam, ways, test)}

    return once(place / f"{_plain(name)}.json", options, examine)


def _trained(runs: Sequence[Run], place: Path, name: str) -> Predictor:
    """A model; what comes before its senses is trained once for all."""
    common, own = ([run for run in runs if (run.name in COMMON) == before] for before in (True, False))
    aligned = train(common, place / "common")
    (words,) = (place / "common").glob("*-words")
    own[0] = replace(own[0], brought={"lm": Brought(load(words, device="cpu").module, "lm")})
    train(own, place / _plain(name), start=aligned)
    return load(place / _plain(name), device="cpu")


def _joint(exam: Exam, source: senses.Joint) -> Found:
    pairs = [source[row] for row in range(len(source))]
    names, nouns = ([getattr(sense, field) for sense in source.senses] for field in ("name", "noun"))
    found = dict[str, Mapping[str, float]]()
    for title, way in WAYS.items():
        said = chain.from_iterable(exam.answers(some, way, names) for some in _batches(pairs))
        found[title.format(*nouns)] = _right(pairs, [*said])
    found[READ] = _right(pairs, exam.reads(pairs, [pair.tags["captions"] for pair in pairs]))
    alone = ([_only(pair, place) for pair in pairs] for place in (0, 1))
    told = [*zip(*(exam.describes(things) for things in alone), strict=True)]
    return found | {SOCRATIC: _right(pairs, exam.reads(pairs, told)), "always the most usual answer": _usual(pairs)}


def _alone(exam: Exam, ways: Sequence[senses.Sense], test: senses.WorldPairs) -> Found:
    found = dict[str, Mapping[str, float]]()
    for way in ways:
        source = senses.Sensed(test, way)
        pairs = [source[row] for row in range(len(source))]
        said = chain.from_iterable(exam.describes(some) for some in _batches(pairs))
        marks = attributes([understand(text) for text in said], [pair.tags["facts"] for pair in pairs])
        found[way.noun] = {name: marks[name].mean().item() for name in FIELDS if name in marks}
    return found


def _right(pairs: Sequence[Pair], said: Sequence[str]) -> dict[str, float]:
    """The share of right answers by kind of question."""
    marks = [text == pair.tags["answers"][0] for pair, text in zip(pairs, said, strict=True)]
    kinds = {
        kind: [mark for pair, mark in zip(pairs, marks, strict=True) if pair.tags["kind"] == kind] for kind in KINDS
    }
    return {kind: sum(some) / max(1, len(some)) for kind, some in (*kinds.items(), ("all", marks))}


def _usual(pairs: Sequence[Pair]) -> dict[str, float]:
    """To every question, the answer that it has most often."""
    answers = dict[str, Counter[str]]()
    for pair in pairs:
        answers.setdefault(pair.tags["question"], Counter())[pair.tags["answers"][0]] += 1
    return _right(pairs, [answers[pair.tags["question"]].most_common(1)[0][0] for pair in pairs])


def _only(pair: Pair, place: int) -> Pair:
    """One of the two things."""
    thing = (pair.image, pair.second)[place]
    if thing is None:
        raise ValueError(f"{pair.id} has no second thing")
    return replace(pair, image=thing, second=None, tags={"senses": [pair.tags["senses"][place]]})


def _batches(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    return (pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH))


def _table(title: str, columns: Sequence[str], seeds: Sequence[Mapping[str, Found]]) -> None:
    """Rows and columns, of both ways to train."""
    heads = [f"{name}: {column}" for name in TRAINED for column in columns]
    print(f"| {title}, right, % | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for row in seeds[0][next(iter(TRAINED))]:
        shares = ([seed[name][row].get(column) for seed in seeds] for name in TRAINED for column in columns)
        told = ([100 * share for share in each if share is not None] for each in shares)
        cells = (cell(percent) if percent else "" for percent in told)  # not all senses tell what is asked for
        print(f"| {row} | {' | '.join(cells)} |")
    print()


def _plain(name: str) -> str:
    return "-".join(name.split())


def _recipe() -> ModuleType:
    """The module beside this one's folder."""
    spec = importlib.util.spec_from_file_location("recipe", Path(__file__).parents[1] / "xinstructblip.py")
    if spec is None or spec.loader is None:
        raise ImportError("recipes/xinstructblip.py is not there")
    module = sys.modules["recipe"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
