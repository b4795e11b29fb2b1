"""Sounds, clouds and videos show what is said of them and no more, and joint questions need both senses."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from chiasm.core.errors import MediaError
from chiasm.data.images import decode
from chiasm.data.pairs import Cloud, Pair, Sound, Video
from chiasm.data.sources import open_source
from chiasm.data.sources.canvas import OUTLINES, Scene
from chiasm.data.sources.grammar import PHRASINGS, SINGULARS, VOCABULARY, say, understand
from chiasm.data.sources.motion import motion, video
from chiasm.data.sources.senses import SENSES, Beside, Both, Hearing, Joint, Sensed, SensedQuestions, Sight
from chiasm.data.sources.solids import SOLIDS, cloud
from chiasm.data.sources.tones import LOUDNESS, RATE, TIMBRES, pitch, sound
from chiasm.data.sources.world import PAINTS, PRESETS, Placed, World, WorldPairs, single
from chiasm.data.writers import write_parquet

SPECS = (
    "sound:pair?count=30", "points:scene?count=30", "video:single?count=30", "asked:sound:scene?count=30",
    "asked:points:pair?count=30", "joint:image+sound:single?count=30", "joint:points+video:backdrop?count=30",
)  # fmt: skip
TOLD = {
    "sound": {
        "size",
        "colour",
        "shape",
        "order",
        "number",
        "other_size",
        "other_colour",
        "other_shape",
        "other_number",
    },
    "points": {"size", "shape", "place", "relation", "number", "other_size", "other_shape", "other_number"},
    "video": {"size", "colour", "shape", "background", "motion"},
}


def scenes(name: str, count: int = 25) -> list[Scene]:
    source = WorldPairs(PRESETS[name](), count=count)
    return [source.scene(index) for index in range(count)]


def content(pair: Pair) -> tuple[object, ...]:
    def raw(value: object) -> object:
        match value:
            case Sound(samples, rate):
                return samples.tobytes(), rate
            case Cloud(points):
                return points.tobytes()
            case Video(frames):
                return frames.tobytes()
            case np.ndarray():
                return value.tobytes()
        return value

    return pair.id, raw(pair.image), raw(pair.second), pair.text, pair.tags


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_name_gives_the_same_pairs(spec: str) -> None:
    one, other = open_source(spec), open_source(spec)
    assert (len(one), one.fingerprint) == (30, other.fingerprint)
    assert one.fingerprint != open_source(f"{spec}&seed=1").fingerprint
    for index in (0, 17, 29):
        assert content(one[index]) == content(other[index])
        assert content(one[index])[1] != content(open_source(f"{spec}&seed=1")[index])[1]
    with pytest.raises(IndexError, match="30"):
        one[30]


@pytest.mark.parametrize(
    ("sense", "world"), [*product(("sound", "points"), ("pair", "scene", "backdrop")), ("video", "backdrop")]
)
def test_a_sense_says_what_it_tells_and_can_be_understood(sense: str, world: str) -> None:
    source = open_source(f"{sense}:{world}?count=12&phrasings=4")
    assert isinstance(source, Sensed)
    for index in range(12):
        pair = source[index]
        assert pair.tags["facts"].keys() <= TOLD[sense]
        assert understand(pair.text) == pair.tags["facts"]
        assert len({say(pair.tags["facts"], phrasing) for phrasing in range(PHRASINGS)}) == PHRASINGS
        assert pair.tags["senses"] == [SENSES[sense](single()).name]


def test_the_same_number_is_the_same_scene_to_all_senses() -> None:
    seen = open_source("world:single?count=9")[5].tags["facts"]
    for sense in ("sound", "points", "video"):
        told = open_source(f"{sense}:single?count=9")[5].tags["facts"]
        assert {field: told[field] for field in told.keys() & seen.keys()}.items() <= seen.items()


def _spectrum(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(len(samples), 1 / RATE), np.abs(np.fft.rfft(samples))


def test_a_colour_is_a_pitch_and_a_size_is_loudness() -> None:
    for scene in scenes("single"):
        (thing,), heard = scene.things, sound(scene, 8000)
        assert (heard.dtype, heard.shape) == (np.float32, (8000,))
        hertz, strength = _spectrum(heard)
        lowest = hertz[np.argmax(strength > 0.4 * strength.max())]
        assert min(PAINTS, key=lambda colour: abs(pitch(colour) / lowest - 1)) == thing.colour
        peak = float(np.abs(heard).max())
        assert peak < 1
        assert ("large" if peak > (LOUDNESS["small"] * LOUDNESS["large"]) ** 0.5 else "small") == thing.size


def test_shapes_sound_different() -> None:
    """What is left when pitch, loudness and hiss are the same: no two timbres are alike."""
    t = np.arange(4000) / 4000
    curves = {shape: timbre.course(t) for shape, timbre in TIMBRES.items()}
    assert TIMBRES.keys() == OUTLINES.keys()
    for one in TIMBRES:
        for other in TIMBRES:
            same = TIMBRES[one].partials == TIMBRES[other].partials and np.abs(curves[one] - curves[other]).mean() < 0.1
            assert same == (one == other)


def test_things_sound_from_left_to_right() -> None:
    for scene in scenes("pair"):
        first, second = sorted(scene.things, key=lambda thing: thing.x)
        heard = sound(scene, 12_000)
        for thing, part in ((first, heard[:6000]), (second, heard[6000:])):
            hertz, strength = _spectrum(part)
            lowest = hertz[np.argmax(strength > 0.4 * strength.max())]
            assert min(PAINTS, key=lambda colour: abs(pitch(colour) / lowest - 1)) == thing.colour
        told = SENSES["sound"](single()).told(scene)
        assert (told.facts["colour"], told.facts["other_shape"]) == (first.colour, second.shape)


def test_clouds_have_their_things_where_and_as_large_as_they_are() -> None:
    for scene in scenes("pair"):
        points = cloud(scene, 1200)
        assert (points.dtype, points.shape) == (np.float32, (1200, 3))
        floor, parts = points[1000:], (points[:500], points[500:1000])
        assert (floor[:, 2] == 0).all()
        assert np.abs(floor).max() <= 0.5
        for thing, part in zip(scene.things, parts, strict=True):
            middle = (part.min(axis=0) + part.max(axis=0)) / 2
            assert np.abs(middle[:2] - [thing.x - 0.5, 0.5 - thing.y]).max() < 0.35 * thing.radius
            assert 0.6 < np.ptp(part[:, :2], axis=0).max() / (2 * thing.radius) < 1.25
            assert part[:, 2].min() == pytest.approx(0, abs=1e-6)


def test_solids_are_what_they_are_called() -> None:
    lots = np.random.default_rng(0).random((2000, 3))
    ball, cube, pyramid, torus = (SOLIDS[shape](lots) for shape in ("circle", "square", "triangle", "ring"))
    assert np.allclose(np.linalg.norm(ball, axis=1), 1)
    assert np.allclose(np.abs(cube).max(axis=1), 0.8)
    assert np.allclose(np.abs(pyramid[:, :2]).max(axis=1), 0.95 * (1 - pyramid[:, 2] / 1.6))
    assert np.allclose(np.hypot(np.hypot(torus[:, 0], torus[:, 1]) - 0.72, torus[:, 2]), 0.28)
    assert pyramid[:, 2].mean() == pytest.approx(1.6 / 3, abs=0.03)  # a triangle's middle is a third up
    for solid in (ball, cube, torus):  # evenly: no side has more points than another
        assert np.abs(np.sign(solid).mean(axis=0)).max() < 0.1


def _middle(frame: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float, int]:
    near = np.abs(frame.astype(int) - colour).sum(axis=2) < 90
    return (*(float(axis.mean()) for axis in near.nonzero()), int(near.sum()))


def test_videos_show_what_things_do() -> None:
    seen = Counter[str]()
    for scene in scenes("single", 40):
        frames = video(scene, 5, 48)
        assert (frames.dtype, frames.shape) == (np.uint8, (5, 48, 48, 3))
        (top, left, size), (low, right, later) = (_middle(frame, scene.things[0].paint) for frame in frames[[0, -1]])
        down, across = low - top, right - left
        doing = {
            "moving left": across < -10, "moving right": across > 10, "moving up": down < -10, "moving down": down > 10,
            "growing": later > 2 * size, "shrinking": size > 2 * later,
        }  # fmt: skip
        assert [name for name, is_so in doing.items() if is_so] == [motion(scene)]
        seen[motion(scene)] += 1
    assert seen.keys() == set(VOCABULARY["motion"])


@pytest.mark.parametrize("spec", ["asked:sound:scene", "asked:sound:pair", "asked:points:pair", "asked:video:single"])
def test_questions_ask_what_can_be_told(spec: str) -> None:
    source = open_source(f"{spec}?count=30")
    assert isinstance(source, SensedQuestions)
    kinds = Counter[str]()
    for index in range(30):
        tags, scene = source[index].tags, source.pairs.scene(index)
        (answer,) = tags["answers"]
        assert answer in tags["candidates"]
        kinds[tags["kind"]] += 1
        if "points" in spec:
            assert not any(colour in tags["question"].split() for colour in VOCABULARY["colour"])
        if "points" not in spec or "place" not in tags["question"]:
            assert _answered(tags["question"], source.sense.told(scene)) in (answer, None)
    assert kinds.keys() >= {"attribute", "count", "existence"}


def _answered(question: str, scene: Scene) -> str | None:
    """Some kinds of questions, answered from their words."""
    looks = [(thing.size, thing.colour, thing.shape) for thing in scene.things]
    if found := re.fullmatch(r"how many (\w+)(?: things)? are there\?", question):
        word = SINGULARS.get(found[1], found[1])
        return str(len(looks) if word == "things" else sum(word in look for look in looks))
    if found := re.fullmatch(r"is there an? (.*)\?", question):
        return "yes" if any(set(found[1].split()) <= set(look) for look in looks) else "no"
    if found := re.fullmatch(r"is the (.*) before the (.*)\?", question):
        first, second = (
            next(i for i, look in enumerate(looks) if set(name.split()) - {"thing"} <= set(look))
            for name in found.groups()
        )
        return "yes" if first < second else "no"
    return None


def _joint(spec: str, count: int) -> Joint:
    source = open_source(f"{spec}?count={count}")
    assert isinstance(source, Joint)
    return source


@pytest.mark.parametrize("spec", ["joint:image+sound:single", "joint:points+image:single"])
def test_joint_questions_follow_from_both_captions(spec: str) -> None:
    source, seen = _joint(spec, 36), Counter[tuple[str, str]]()
    for index in range(36):
        pair = source[index]
        told = [understand(text) or {} for text in pair.tags["captions"]]
        nouns = {"image": "picture", "audio": "sound", "points": "cloud"}
        names = [f"the {nouns[sense]}" for sense in pair.tags["senses"]]
        if found := re.fullmatch(r"have the two the same (\w+)\?", pair.text):
            answer = "yes" if told[0][found[1]] == told[1][found[1]] else "no"
        else:
            larger = [facts["size"] == "large" for facts in told]
            answer = "neither" if larger[0] == larger[1] else names[larger.index(True)]
        assert pair.tags["answers"] == [answer]
        assert answer in pair.tags["candidates"]
        seen[pair.tags["kind"], answer] += 1
    assert min(seen.values()) > 0
    assert len(seen) == 5


def _guessed(rows: Iterable[tuple[Hashable, Both]]) -> float:
    """How often the answer that a hint had most often in the first half is right in the second."""
    known = [(hint, each.question.answer) for hint, each in rows]
    half, heard = len(known) // 2, dict[Hashable, Counter[str]]()
    for hint, answer in known[:half]:
        heard.setdefault(hint, Counter())[answer] += 1
    return sum(heard.get(hint, Counter("?")).most_common(1)[0][0] == answer for hint, answer in known[half:]) / half


def test_one_sense_alone_knows_no_more_than_none() -> None:
    few = World(layout=Placed(), colours=("red", "blue", "green"), shapes=("circle", "star", "ring"))
    source = Joint(WorldPairs(few, count=600), (Sight(), Hearing()))
    asked = [source.asked(index) for index in range(600)]

    def known(each: Both, name: str) -> Hashable:
        """What matters of the thing that is perceived so, and whether it comes first."""
        at = [sense.name for sense in each.senses].index(name)
        field = each.question.text.removesuffix("?").split()[-1]
        return at, each.scenes[at].facts["size" if field == "larger" else field]

    def guessed(*names: str) -> float:
        return _guessed(((each.question.text, *(known(each, name) for name in names)), each) for each in asked)

    for kind, usual in (("same", "yes"), ("larger", "neither")):
        answers = [each.question.answer for each in asked if each.question.kind == kind]
        assert answers.count(usual) / len(answers) == pytest.approx(0.5, abs=0.07)
    assert guessed() == pytest.approx(0.5, abs=0.09), "the question alone"
    assert guessed("image") == pytest.approx(0.5, abs=0.09)
    assert guessed("audio") == pytest.approx(0.5, abs=0.09)
    assert guessed("image", "audio") > 0.95, "both together tell"
    assert {each.senses[0].name for each in asked} == {"image", "audio"}


def test_one_sense_is_asked_beside_what_the_other_would_perceive() -> None:
    joint, orders = _joint("joint:image+sound:single", 12), set[tuple[str, ...]]()
    for sense, other in (joint.senses, joint.senses[::-1]):
        source = Beside(joint, sense)
        for index in range(len(source)):
            both, pair = joint[index], source[index]
            at = both.tags["senses"].index(sense.name)
            things = [sense.name, [other.name, both.tags["captions"][1 - at]]]
            assert pair.tags["things"] == (things if at == 0 else things[::-1])
            assert pair.tags["senses"] == [sense.name]
            assert pair.second is None
            assert str(pair.image) == str((both.image, both.second)[at])
            assert (pair.text, pair.tags["answers"]) == (both.text, both.tags["answers"])
            orders.add(tuple(both.tags["senses"]))
    assert len(orders) == 2, "what is told comes first as well as last"
    assert len({Beside(joint, sense).fingerprint for sense in joint.senses} | {joint.fingerprint}) == 3


def test_where_only_pictures_will_do_others_are_named(tmp_path: Path) -> None:
    pairs = open_source("sound:single?count=2")
    with pytest.raises(MediaError, match="is no path, bytes"):
        decode(pairs[0].image)
    with pytest.raises(MediaError, match="is no picture, and only pictures are written"):
        write_parquet([pairs[0]], tmp_path / "a.parquet")


@pytest.mark.parametrize(("spec", "told"), [
    ("video:pair", "a video shows one thing, but this scene has 2: use the world 'single'"),
    ("sound:single?noise=0.5", "noise belongs to the texts of pictures"),
    ("asked:smell:single", "unknown sense 'smell'"),
    ("joint:sound:single", "names 1 senses, but joint questions take two"),
    ("joint:sound+sound:single", "both things are perceived as audio"),
    ("joint:image+sound:pair", "joint questions compare two things of two sizes"),
])  # fmt: skip
def test_what_cannot_be_is_said(spec: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        open_source(spec)
