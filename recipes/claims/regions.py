"""Questions that need one region of a picture, and texts about them: what `instructblip.py` asks and reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from torch import Tensor

from chiasm.core.types import Worded
from chiasm.data.instructions import Texts
from chiasm.data.pairs import Pair
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import Drawn
from chiasm.data.sources.grammar import PLURALS, VOCABULARY
from chiasm.data.sources.world import PRESETS, WorldPairs
from chiasm.data.templates import QUESTIONS
from chiasm.data.text import Tokenizer, clean

# where the first thing of a relation is, and where the second
SIDES = {
    "left of": ("on the left", "on the right"),
    "right of": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
    "inside": ("inside", "around it"),
}
KINDS = ("side", "inside", "count")
NUMBERS = VOCABULARY["number"]
VERSION = 2  # of what is asked
HELD_IN, HELD_OUT = (tuple(map(clean, part)) for part in (QUESTIONS.held_in, QUESTIONS.held_out))


def region(pair: Pair, rng: Random) -> Pair:
    """What the one thing of two looks like that is on the left, at the top, inside or the like."""
    facts, field, second = pair.tags["facts"], rng.choice(("colour", "shape")), rng.random() < 0.5
    question = f"what {field} is the thing {SIDES[facts['relation']][second]}?"
    answer = facts[f"other_{field}" if second else field]
    return _asked(pair, "inside" if facts["relation"] == "inside" else "side", field, question, answer)


def number(pair: Pair, rng: Random) -> Pair:
    """How many things there are of one colour or one shape, of the one kind or of the other."""
    facts, field = pair.tags["facts"], rng.choice(("colour", "shape"))
    groups = [(facts[f"{side}{field}"], 1 + NUMBERS.index(facts[f"{side}number"])) for side in _sides(facts)]
    value = rng.choice(groups)[0]
    things = f"{value} things" if field == "colour" else PLURALS[value]
    total = str(sum(size for other, size in groups if other == value))
    return _asked(pair, "count", "number", f"how many {things} are there?", total)


def _sides(facts: Mapping[str, str]) -> Sequence[str]:
    return ("", "other_") if "other_number" in facts else ("",)


def _asked(pair: Pair, kind: str, field: str, question: str, answer: str) -> Pair:
    return replace(pair, tags={"kind": kind, "field": field, "question": question, "answers": [answer]})


def told(pair: Pair) -> Pair:
    """Of two things each by itself, with where it is, in the order of reading; of more as the world tells it."""
    facts = pair.tags["facts"]
    if "relation" not in facts:
        return pair
    first, second = SIDES[facts["relation"]]
    things = [f"{facts['colour']} {facts['shape']} {first}", f"{facts['other_colour']} {facts['other_shape']} {second}"]
    return replace(pair, text=", ".join(things[::-1] if facts["relation"] in ("right of", "below") else things))


def read(pair: Pair, asked: Pair, rng: Random) -> Pair:
    """A caption, a question about the same picture in any template, and its answer, as one text."""
    question = rng.choice((*HELD_IN, *HELD_OUT)).format(asked.tags["question"])
    return replace(asked, text=f"{pair.text} {question} {asked.tags['answers'][0]}", tags={"said": "answer"})


# of so many words, those that are given before the others are said
CUTS: Mapping[str, Callable[[int], int]] = {
    "all": lambda _: 0, "again": lambda count: count // 2, "answer": lambda count: count - 1,
}  # fmt: skip


@dataclass(frozen=True)
class Lines:
    """Texts for a language model: a caption is said, said again once it is read, or asked about."""

    texts: Texts

    def pictures(self, pair: Pair) -> Sequence[Any]:
        return self.texts.pictures(pair)

    def read(self, pairs: Sequence[Pair], tokenizer: Tokenizer) -> Sequence[Any]:
        rows = zip(self.texts.read(pairs, tokenizer), (pair.tags.get("said", "all") for pair in pairs), strict=True)
        cuts = ((row, CUTS[said](len(row))) for row, said in rows)
        return [(" ".join(row[:cut]), " ".join(row[cut:])) for row, cut in cuts]

    def batch(self, images: Tensor, words: Sequence[Any], pad: int) -> Worded:
        return self.texts.batch(images, words, pad)


# few colours and shapes, so that minutes suffice
FEW = {"colours": ("red", "yellow", "green", "blue"), "shapes": ("circle", "square", "star", "cross"), "sizes": ()}
TASKS = {"pair": region, "scene": number}


def drawn(seed: int, split: str, count: int, asks: int) -> tuple[Drawn, Drawn]:
    """Captions, and so many questions about each of the same pictures; half have two things, half have more."""
    pairs, asked = list[Pair](), list[Pair]()
    for name, ask in TASKS.items():
        world = WorldPairs(replace(PRESETS[name](), **FEW), seed=seed, count=count // 2, split=split)
        own = [told(world[row]) for row in range(len(world))]
        asked += [ask(pair, chance("asked", seed, pair.id, which)) for pair in own for which in range(asks)]
        pairs += own
    which = f"{VERSION} {split} {count} {seed}"
    return Drawn(tuple(pairs), f"captions {which}"), Drawn(tuple(asked), f"questions {which} {asks}")
