"""What can be asked about a scene of the made world, and how its things can be pointed at.

Every answer follows from the scene; the same scene is always asked the same. `refer` names a thing in
the fewest words that fit no other, for referring expressions beside `boxes` and `mask`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

from chiasm.data.sources.canvas import Scene, Thing
from chiasm.data.sources.chance import chance
from chiasm.data.sources.grammar import PLURALS, VOCABULARY

SPOKEN = ("size", "colour", "shape")  # in the order of English


@dataclass(frozen=True)
class Question:
    """`kind` is one of attribute, count, existence, relation, comparison."""

    kind: str
    text: str
    answer: str


def questions(scene: Scene) -> list[Question]:
    """All that is asked about a scene; of colours only where the facts tell them."""
    return [
        *_attributes(scene), *_counts(scene), *_existence(scene), *_relations(scene), *_comparisons(scene),
    ]  # fmt: skip


def drawn(asked: Sequence[Question], rng: Random) -> Question:
    """One of them: first a kind is drawn, then an answer, so that none of a kind is more usual than others."""
    kind = rng.choice(sorted({each.kind for each in asked}))
    answer = rng.choice(sorted({each.answer for each in asked if each.kind == kind}))
    return rng.choice([each for each in asked if (each.kind, each.answer) == (kind, answer)])


def refer(scene: Scene, index: int, *, hidden: str = "") -> str | None:
    """`the red star`: the shortest words, without the attribute `hidden`, that fit this thing alone."""
    spoken = [field for field in ("shape", "colour", "size") if field in scene.facts and field != hidden]
    looks = [_looks(thing) for thing in scene.things]
    for width in range(len(spoken) + 1):
        for fields in combinations(spoken, width):
            if sum(all(look[field] == looks[index][field] for field in fields) for look in looks) == 1:
                words = [looks[index][field] for field in SPOKEN if field in fields]
                return " ".join(["the", *words, *([] if "shape" in fields else ["thing"])])
    return None


def _looks(thing: Thing) -> dict[str, str]:
    return {"size": thing.size, "colour": thing.colour, "shape": thing.shape}


def _named(scene: Scene, *, hidden: str = "") -> list[tuple[Thing, str]]:
    names = [(thing, refer(scene, index, hidden=hidden)) for index, thing in enumerate(scene.things)]
    return [(thing, name) for thing, name in names if name is not None]


def _attributes(scene: Scene) -> Iterator[Question]:
    for index, thing in enumerate(scene.things):
        for field in SPOKEN:
            name = refer(scene, index, hidden=field)
            if field in scene.facts and name is not None:
                yield Question("attribute", f"what {field} is {name}?", _looks(thing)[field])
    if "place" in scene.facts:
        yield Question("attribute", "where is the thing?", scene.facts["place"])
    if "background" in scene.facts:
        yield Question("attribute", "what colour is the background?", scene.facts["background"])
    if "motion" in scene.facts:
        yield Question("attribute", "what is the thing doing?", scene.facts["motion"])


def _counts(scene: Scene) -> Iterator[Question]:
    yield Question("count", "how many things are there?", str(len(scene.things)))
    for colour in _colours(scene):
        yield Question("count", f"how many {colour} things are there?", str(_count(scene, "colour", colour)))
    for shape in sorted({thing.shape for thing in scene.things}):
        yield Question("count", f"how many {PLURALS[shape]} are there?", str(_count(scene, "shape", shape)))


def _existence(scene: Scene) -> Iterator[Question]:
    thing, rng = scene.things[0], chance("questions", scene.seed)
    field = "colour" if "colour" in scene.facts else "shape"
    others = [value for value in VOCABULARY[field] if value != _looks(thing)[field]]
    for value in (_looks(thing)[field], rng.choice(others)):
        look = {**{field: _looks(thing)[field] for field in ("colour", "shape") if field in scene.facts}, field: value}
        there = any(look.items() <= _looks(other).items() for other in scene.things)
        words = " ".join(look.values())
        yield Question("existence", f"is there {'an' if words[0] in 'aeiou' else 'a'} {words}?", _yes(there))


def _relations(scene: Scene) -> Iterator[Question]:
    """Only where the way along one axis is clear, and never of things inside each other."""
    if "order" in scene.facts:
        yield from _orders(scene)
        return
    for (one, name), (two, other) in combinations(_named(scene), 2):
        dx, dy = two.x - one.x, two.y - one.y
        if max(abs(dx), abs(dy)) < 0.25:
            continue
        if abs(dx) > 2 * abs(dy):
            yield Question("relation", f"is {name} left of {other}?", _yes(dx > 0))
        elif abs(dy) > 2 * abs(dx):
            yield Question("relation", f"is {name} above {other}?", _yes(dy > 0))


def _orders(scene: Scene) -> Iterator[Question]:
    """In a sound things come in the order in which they stand here."""
    for (_, name), (_, other) in combinations(_named(scene), 2):
        yield Question("relation", f"is {name} before {other}?", "yes")
        yield Question("relation", f"is {other} before {name}?", "no")


def _comparisons(scene: Scene) -> Iterator[Question]:
    for field in (field for field in SPOKEN if field in scene.facts):
        for (one, name), (two, other) in combinations(_named(scene, hidden=field), 2):
            same = _looks(one)[field] == _looks(two)[field]
            yield Question("comparison", f"have {name} and {other} the same {field}?", _yes(same))
    for one, two in combinations(_colours(scene), 2):
        more = _count(scene, "colour", one) > _count(scene, "colour", two)
        yield Question("comparison", f"are there more {one} things than {two} ones?", _yes(more))


def _colours(scene: Scene) -> list[str]:
    return sorted({thing.colour for thing in scene.things}) if "colour" in scene.facts else []


def _count(scene: Scene, field: str, value: str) -> int:
    return sum(_looks(thing)[field] == value for thing in scene.things)


def _yes(fact: bool) -> str:  # noqa: FBT001 - a fact to be put into words, no switch
    return "yes" if fact else "no"
