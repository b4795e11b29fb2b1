"""What can be asked and claimed about the made world: questions, statements about two pictures, entailment.

    questions:pair?count=8000       what colour is the star?                    red
    statements:single?count=8000    both pictures show a red thing              true, false
    entailment:single?count=8000    there is a small red star made of glass     entailment, neutral, contradiction

`Assignment` asks of any pairs which of two pictures a text belongs to.

One row a picture, the same in any process. Right labels are drawn before the words are, so that they
come equally often, and among the answers to a kind of question none is more usual than the others.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from chiasm.data.pairs import Pair, Source
from chiasm.data.sources.canvas import Scene, draw
from chiasm.data.sources.chance import chance
from chiasm.data.sources.grammar import one_wrong
from chiasm.data.sources.questions import drawn, questions
from chiasm.data.sources.spec import Made
from chiasm.data.sources.world import WorldPairs, open_world
from chiasm.data.text import clean

VERSION = 1  # counts changes of what the same numbers say
MATERIALS = ("glass", "paper", "stone", "wood")  # what no picture of the world can tell


@dataclass(frozen=True)
class WorldQuestions(Made):
    """A picture, a question about it of one of some `kinds`, and its answer."""

    pairs: WorldPairs
    kinds: tuple[str, ...] = ("attribute", "count", "existence", "relation", "comparison")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        scene, rng = self.pairs.scene(index), chance("question", self.pairs.seed, self.pairs.split, index)
        asked = [each for each in questions(scene) if each.kind in self.kinds]
        one = drawn(asked, rng)
        tags = {"kind": one.kind, "question": one.text, "answers": [one.answer]}
        return _pair(self.pairs, index, scene, one.text, tags)

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


@dataclass(frozen=True)
class WorldStatements(Made):
    """Two pictures and a statement about them, in the manner of NLVR2 (arXiv:1811.00491): true as often as false."""

    pairs: WorldPairs

    def __len__(self) -> int:
        return len(self.pairs) // 2

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of a source that has {len(self)}")
        left, right = (self.pairs.scene(2 * index + side) for side in range(2))
        rng = chance("statement", self.pairs.seed, self.pairs.split, index)
        wanted = rng.random() < 0.5
        while True:
            text, truth = rng.choice(STATEMENTS)(left, right, self.pairs, rng)
            if truth == wanted:
                break
        second = draw(right, self.pairs.world.pixels)
        return _pair(self.pairs, index, left, text, {"label": str(truth).lower()}, second)

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


@dataclass(frozen=True)
class WorldEntailment(Made):
    """A picture and a hypothesis: it follows, it cannot be told, or it is false.

    What a thing is made of cannot be told, unless there is no such thing at all: then it is false.
    """

    pairs: WorldPairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        scene, rng = self.pairs.scene(index), chance("hypothesis", self.pairs.seed, self.pairs.split, index)
        label = rng.choice(("contradiction", "neutral", "entailment"))
        facts = dict(scene.facts)
        while label == "contradiction" and _holds(scene, facts):
            facts = one_wrong(dict(scene.facts), rng, self.pairs.world.offered())
        made = label == "neutral" or (label == "contradiction" and rng.random() < 0.5)
        text = f"there is {_article(_thing(facts))}{f' made of {rng.choice(MATERIALS)}' if made else ''}"
        return _pair(self.pairs, index, scene, text, {"label": label})

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


@dataclass(frozen=True)
class Assignment(Made):
    """Two pictures and a text of any pairs, which belongs to one of them or to neither: ALBEF's step before NLVR2."""

    pairs: Source
    seed: int = 0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        own, rng = self.pairs[index], chance("assigned", self.seed, index)
        label = rng.choice(("first", "second", "neither"))
        left, right = (self._other(clean(own.text), rng).image for _ in range(2))
        first, second = (
            own.image if label == place else image for place, image in (("first", left), ("second", right))
        )
        return replace(own, image=first, second=second, tags={**own.tags, "label": label})

    def _other(self, text: str, rng: Random) -> Pair:
        """A pair whose text says something else; after a hundred tries whatever comes."""
        drawn = (self.pairs[rng.randrange(len(self))] for _ in range(100))
        return next((pair for pair in drawn if clean(pair.text) != text), self.pairs[rng.randrange(len(self))])

    @property
    def fingerprint(self) -> str:
        return _fingerprint((self.pairs.fingerprint, self.seed))


def open_questions(spec: str) -> WorldQuestions:
    """`questions:pair?count=8000`, with the options of the made world."""
    return WorldQuestions(open_world(spec))


def open_statements(spec: str) -> WorldStatements:
    """`statements:single?count=8000`: half as many statements as pictures."""
    return WorldStatements(open_world(spec))


def open_entailment(spec: str) -> WorldEntailment:
    """`entailment:single?count=8000`."""
    return WorldEntailment(open_world(spec))


def _both(left: Scene, right: Scene, pairs: WorldPairs, rng: Random) -> tuple[str, bool]:
    field, value, words = _asked(pairs, rng)
    return f"both pictures show {words}", _shows(left, field, value) and _shows(right, field, value)


def _only(left: Scene, right: Scene, pairs: WorldPairs, rng: Random) -> tuple[str, bool]:
    field, value, words = _asked(pairs, rng)
    side = rng.choice(("left", "right"))
    one, other = (left, right) if side == "left" else (right, left)
    return f"only the {side} picture shows {words}", _shows(one, field, value) and not _shows(other, field, value)


def _none(left: Scene, right: Scene, pairs: WorldPairs, rng: Random) -> tuple[str, bool]:
    field, value, words = _asked(pairs, rng)
    return f"no picture shows {words}", not (_shows(left, field, value) or _shows(right, field, value))


STATEMENTS: tuple[Callable[[Scene, Scene, WorldPairs, Random], tuple[str, bool]], ...] = (_both, _only, _none)


def _asked(pairs: WorldPairs, rng: Random) -> tuple[str, str, str]:
    """An attribute, a value of it, and a thing of that value in words."""
    field = rng.choice(("colour", "shape"))
    value = rng.choice(pairs.world.offered()[field])
    return field, value, _article(f"{value} thing" if field == "colour" else value)


def _shows(scene: Scene, field: str, value: str) -> bool:
    return any({"colour": thing.colour, "shape": thing.shape}[field] == value for thing in scene.things)


def _holds(scene: Scene, facts: Mapping[str, str]) -> bool:
    """Whether some thing looks as the facts say; where it is does not matter."""
    looks = [{"size": thing.size, "colour": thing.colour, "shape": thing.shape} for thing in scene.things]
    return any(all(look[field] == facts[field] for field in look if field in facts) for look in looks)


def _thing(facts: Mapping[str, str]) -> str:
    return " ".join(facts[field] for field in ("size", "colour", "shape") if field in facts)


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _pair(pairs: WorldPairs, index: int, scene: Scene, text: str, tags: Mapping[str, Any], second: Any = None) -> Pair:
    return Pair(f"{pairs.split}-{index:06d}", draw(scene, pairs.world.pixels), text, {"human": True, **tags}, second)


def _fingerprint(source: object) -> str:
    return hashlib.sha256(f"tasks {VERSION} {source!r}".encode()).hexdigest()[:16]
