"""Questions, statements and hypotheses about the made world are true to the scene, balanced, and fixed by the seed."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from chiasm.archetypes.judge import ASSIGNED
from chiasm.data.sources import open_source
from chiasm.data.sources.compose import Subset
from chiasm.data.sources.questions import questions
from chiasm.data.sources.tasks import MATERIALS, Assignment, WorldEntailment, WorldQuestions, WorldStatements
from chiasm.data.sources.world import WorldPairs, single

SPECS = ("questions:pair?count=300", "statements:single?count=600", "entailment:single?count=300")


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_name_gives_the_same_pairs(spec: str) -> None:
    one, other = open_source(spec), open_source(spec)
    assert (len(one), one.fingerprint) == (300, other.fingerprint)
    assert one.fingerprint != open_source(f"{spec}&seed=1").fingerprint
    for index in (0, 17, 299):
        assert (one[index].text, one[index].tags) == (other[index].text, other[index].tags)
        assert np.array_equal(one[index].image, other[index].image)
    assert [one[i].text for i in range(9)] != [open_source(f"{spec}&seed=1")[i].text for i in range(9)]
    with pytest.raises(IndexError, match="300"):
        one[300]


def test_answers_are_the_scene_s_own() -> None:
    source = open_source(SPECS[0])
    assert isinstance(source, WorldQuestions)
    kinds, said = Counter[str](), Counter[str]()
    for index in range(len(source)):
        pair = source[index]
        known = {each.text: (each.kind, each.answer) for each in questions(source.pairs.scene(index))}
        assert (pair.tags["kind"], *pair.tags["answers"]) == known[pair.tags["question"]]
        kinds[pair.tags["kind"]] += 1
        said.update(pair.tags["answers"] if pair.tags["kind"] == "relation" else [])
    assert set(kinds) == {"attribute", "count", "existence", "relation", "comparison"}
    assert 0.3 < said["yes"] / said.total() < 0.7
    some = WorldQuestions(source.pairs, kinds=("count",))
    assert {some[i].tags["kind"] for i in range(20)} == {"count"}


def _seen(scene: Any, words: str) -> bool:
    """`a red thing` or `a circle`, decided by its words."""
    name = words.split()[1]
    return any(name in ((thing.colour,) if "thing" in words else (thing.shape,)) for thing in scene.things)


def test_statements_are_what_they_are_called() -> None:
    source = open_source(SPECS[1])
    assert isinstance(source, WorldStatements)
    labels, kinds = Counter[str](), Counter[tuple[str, str]]()
    for index in range(len(source)):
        pair, sides = source[index], [source.pairs.scene(2 * index + side) for side in (0, 1)]
        start, _, words = pair.text.partition(" show")
        left, right = (_seen(scene, words.removeprefix("s ").strip()) for scene in sides)
        truth = {
            "both pictures": left and right, "no picture": not left and not right,
            "only the left picture": left and not right, "only the right picture": right and not left,
        }[start]  # fmt: skip
        assert pair.tags["label"] == str(truth).lower(), pair.text
        assert pair.second is not None
        labels[pair.tags["label"]] += 1
        kinds[start, pair.tags["label"]] += 1
    assert 0.4 < labels["true"] / labels.total() < 0.6
    assert len(kinds) == 8  # every beginning, true and false


def test_hypotheses_follow_or_contradict_or_cannot_be_told() -> None:
    source = open_source(SPECS[2])
    assert isinstance(source, WorldEntailment)
    labels = Counter[tuple[str, bool]]()
    for index in range(len(source)):
        pair, (thing,) = source[index], source.pairs.scene(index).things
        words, _, material = pair.text.partition(" made of ")
        fits = words.split()[3:] == [thing.size, thing.colour, thing.shape]
        assert material in {"", *MATERIALS}
        assert pair.tags["label"] == ("contradiction" if not fits else "neutral" if material else "entailment")
        labels[pair.tags["label"], bool(material)] += 1
    assert min(labels.values()) > 30
    assert set(labels) == {
        ("contradiction", True), ("contradiction", False), ("neutral", True), ("entailment", False),
    }  # fmt: skip


def test_a_text_belongs_to_one_of_two_pictures_or_to_neither() -> None:
    world = WorldPairs(single(), seed=0, count=60, split="train")
    assigned, labels = Assignment(world), list[str]()
    for row in range(len(world)):
        own, asked = world[row], assigned[row]
        labels.append(asked.tags["label"])
        mine = {"first": np.array_equal(asked.image, own.image), "second": np.array_equal(asked.second, own.image)}
        assert (asked.id, asked.text) == (own.id, own.text)
        assert [place for place, is_mine in mine.items() if is_mine] == [labels[-1]] * (labels[-1] != "neither")
        assert np.array_equal(asked.image, assigned[row].image)
    assert min(map(labels.count, ASSIGNED)) > 10
    assert Assignment(world, seed=1).fingerprint != assigned.fingerprint
    assert {Assignment(world, seed=1)[row].tags["label"] == labels[row] for row in range(20)} == {True, False}


def test_pairs_that_all_say_the_same_are_assigned_all_the_same() -> None:
    pairs = Subset(WorldPairs(single(), seed=0, count=60, split="train"), [3, 3])
    assert Assignment(pairs)[0].tags["label"] in ASSIGNED
