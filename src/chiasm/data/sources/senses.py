"""The made world through other senses: one scene as a picture, a sound, a cloud of points or a video.

    sound:single?count=8000                 a sound                 a large red circle
    asked:points:pair?count=8000            a cloud of points       is the star left of the cross?        yes
    joint:image+sound:single?count=8000     a picture and a sound   which of the two is larger?           the sound

A sense tells some of a scene: captions say no more, and nothing else is asked.

    image    size, colour, shape, place, background
    sound    size, colour, shape, and which of two things comes first
    points   size, shape, place
    video    size, colour, shape, background, and what the thing does

Words are the same for all senses, so that what one perceives can be compared with what another does. Joint
questions need both: whoever perceives only one of the two things cannot answer better than whoever always
says what is most often right.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar, Protocol, runtime_checkable

from chiasm.core.errors import unknown
from chiasm.data.pairs import Cloud, Pair, Sound, Stored, Video
from chiasm.data.sources.canvas import Scene, draw
from chiasm.data.sources.chance import chance
from chiasm.data.sources.grammar import VOCABULARY, Facts, say
from chiasm.data.sources.motion import motion, video
from chiasm.data.sources.questions import Question, drawn, questions
from chiasm.data.sources.solids import cloud
from chiasm.data.sources.spec import Made
from chiasm.data.sources.tones import RATE, sound
from chiasm.data.sources.world import World, WorldPairs, open_world

VERSION = 1  # counts changes of what the same numbers say or show
KINDS = ("attribute", "count", "existence", "relation", "comparison")


@runtime_checkable
class Sense(Protocol):
    """A way to perceive a scene; `noun` is what the thing perceived is called."""

    name: ClassVar[str]
    noun: ClassVar[str]

    def told(self, scene: Scene) -> Scene:
        """The scene as far as this sense tells it: its facts are those that can be perceived."""
        ...

    def perceive(self, scene: Scene) -> Stored: ...


@dataclass(frozen=True)
class Sight:
    """A picture, which tells all."""

    name: ClassVar[str] = "image"
    noun: ClassVar[str] = "picture"
    pixels: int = 32

    def told(self, scene: Scene) -> Scene:
        return scene

    def perceive(self, scene: Scene) -> Stored:
        return draw(scene, self.pixels)


@dataclass(frozen=True)
class Hearing:
    """A tone for every thing (`tones.py`); nothing has a place, but of two things one comes first."""

    name: ClassVar[str] = "audio"
    noun: ClassVar[str] = "sound"
    samples: int = 10_480  # 64 frames of a spectrogram

    def told(self, scene: Scene) -> Scene:
        things = tuple(sorted(scene.things, key=lambda thing: thing.x))
        facts = _without(scene.facts, "place", "background")
        if "relation" in facts:
            first, second = (
                {field: value for field, value in vars(thing).items() if field in ("size", "colour", "shape")}
                for thing in things
            )
            facts = {"order": "before", **first, **{f"other_{field}": value for field, value in second.items()}}
            facts = {field: value for field, value in facts.items() if field == "order" or field in scene.facts}
        return replace(scene, things=tuple(replace(thing, x=0.5, y=0.5) for thing in things), facts=facts)

    def perceive(self, scene: Scene) -> Stored:
        return Sound(sound(scene, self.samples), RATE)


@dataclass(frozen=True)
class Touch:
    """Points on the surfaces of all things (`solids.py`), which have no colour."""

    name: ClassVar[str] = "points"
    noun: ClassVar[str] = "cloud"
    points: int = 512

    def told(self, scene: Scene) -> Scene:
        facts = _without(scene.facts, "colour", "other_colour", "background")
        alike = all(facts.get(f"other_{field}") == facts.get(field) for field in ("size", "shape"))
        if "other_number" in facts and alike:  # two groups that only their colours tell apart
            total = VOCABULARY["number"][len(scene.things) - 1]
            facts = {**_without(facts, "other_number", "other_size", "other_shape"), "number": total}
        return replace(scene, facts=facts)

    def perceive(self, scene: Scene) -> Stored:
        return Cloud(cloud(scene, self.points))


@dataclass(frozen=True)
class Watching:
    """A few pictures in a row (`motion.py`), on which the only thing moves, and therefore has no place."""

    name: ClassVar[str] = "video"
    noun: ClassVar[str] = "video"
    frames: int = 5
    pixels: int = 32

    def told(self, scene: Scene) -> Scene:
        if len(scene.things) > 1:
            raise ValueError(f"a video shows one thing, but this scene has {len(scene.things)}: use the world 'single'")
        return replace(scene, facts={**_without(scene.facts, "place"), "motion": motion(scene)})

    def perceive(self, scene: Scene) -> Stored:
        return Video(video(scene, self.frames, self.pixels))


SENSES: Mapping[str, Callable[[World], Sense]] = {
    "image": lambda world: Sight(world.pixels),
    "sound": lambda _: Hearing(),
    "points": lambda _: Touch(),
    "video": lambda world: Watching(pixels=world.pixels),
}


@dataclass(frozen=True)
class Sensed(Made):
    """What a sense perceives of a world's scenes, and what can be said of it."""

    pairs: WorldPairs
    sense: Sense

    def __post_init__(self) -> None:
        _check(self.pairs, self.sense)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        scene = self.pairs.scene(index)
        facts, rng = dict(self.sense.told(scene).facts), chance("text", self.pairs.seed, self.pairs.split, index)
        tags = {"human": self.pairs.split != "train", "noise": "", "truth": say(facts), "facts": facts}
        text = say(facts, rng.randrange(self.pairs.world.phrasings))
        senses = {"senses": [self.sense.name]}
        return Pair(_id(self.pairs, index), self.sense.perceive(scene), text, tags | senses)

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


@dataclass(frozen=True)
class SensedQuestions(Made):
    """What a sense perceives of a scene, a question about that of one of some `kinds`, and its answer."""

    pairs: WorldPairs
    sense: Sense
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        _check(self.pairs, self.sense)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        scene, rng = self.pairs.scene(index), chance("question", self.pairs.seed, self.pairs.split, index)
        one = drawn([each for each in questions(self.sense.told(scene)) if each.kind in self.kinds], rng)
        tags = {"senses": [self.sense.name], **_asked(one, _choices(one.answer, self.pairs.world))}
        return Pair(_id(self.pairs, index), self.sense.perceive(scene), one.text, tags)

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


@dataclass(frozen=True)
class Both:
    """Two scenes and the senses that perceive them, in the order in which they are shown, and a question."""

    scenes: tuple[Scene, Scene]
    senses: tuple[Sense, Sense]
    question: Question
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Joint(Made):
    """Two things, each perceived by another sense, and a question about both.

    have the two the same shape?     as often yes as no, whatever either of them is
    which of the two is larger?      the picture, the sound, or, as often as both of these, neither
    """

    pairs: WorldPairs
    senses: tuple[Sense, Sense]
    kinds: tuple[str, ...] = ("same", "larger")

    def __post_init__(self) -> None:
        for sense in self.senses:
            _check(self.pairs, sense)
        if self.senses[0].name == self.senses[1].name:
            raise ValueError(f"both things are perceived as {self.senses[0].name}: joint questions take two senses")
        if len(self.pairs.scene(0).things) != 1 or len(self.pairs.world.sizes) != 2:
            raise ValueError("joint questions compare two things of two sizes: use the world 'single' or 'backdrop'")
        if strange := set(self.kinds) - set(JOINT):
            raise unknown("kind of joint question", min(strange), JOINT)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        both = self.asked(index)
        told = [say(dict(sense.told(scene).facts)) for sense, scene in zip(both.senses, both.scenes, strict=True)]
        first, second = (sense.perceive(scene) for sense, scene in zip(both.senses, both.scenes, strict=True))
        tags = {"senses": [sense.name for sense in both.senses], "captions": told}
        tags |= _asked(both.question, both.choices)
        return Pair(_id(self.pairs, index), first, both.question.text, tags, second)

    def asked(self, index: int) -> Both:
        """What is asked there, before anything is drawn."""
        scene, rng = self.pairs.scene(index), chance("joint", self.pairs.seed, self.pairs.split, index)
        one, other = rng.sample(self.senses, 2)
        return JOINT[rng.choice(self.kinds)](scene, (one, other), self.pairs, rng)

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


@dataclass(frozen=True)
class Beside(Made):
    """Joint questions to one sense alone: what it perceives is shown, the other thing is told in words."""

    joint: Joint
    sense: Sense

    def __len__(self) -> int:
        return len(self.joint)

    def __getitem__(self, index: int) -> Pair:
        both, pairs = self.joint.asked(index), self.joint.pairs
        own = both.senses.index(self.sense)
        things = [
            sense.name if sense == self.sense else [sense.name, say(dict(sense.told(scene).facts))]
            for sense, scene in zip(both.senses, both.scenes, strict=True)
        ]
        tags = {"senses": [self.sense.name], "things": things, **_asked(both.question, both.choices)}
        return Pair(_id(pairs, index), self.sense.perceive(both.scenes[own]), both.question.text, tags)

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self)


def _same(scene: Scene, senses: tuple[Sense, Sense], pairs: WorldPairs, rng: Random) -> Both:
    """The answer is drawn first, then a thing that fits: so it depends on neither thing alone."""
    told = [set(sense.told(scene).facts) for sense in senses]
    field = rng.choice([field for field in ("size", "colour", "shape") if all(field in facts for facts in told)])
    answer = rng.choice(("yes", "no"))
    other = pairs.drawn(rng)
    while (scene.facts[field] == other.facts[field]) != (answer == "yes"):
        other = pairs.drawn(rng)
    return Both((scene, other), senses, Question("same", f"have the two the same {field}?", answer), ("yes", "no"))


def _larger(scene: Scene, senses: tuple[Sense, Sense], pairs: WorldPairs, rng: Random) -> Both:
    """With two sizes, independent of each other, one thing alone leaves open whether it is the larger, or neither."""
    other = pairs.drawn(rng)
    large = [each.facts["size"] == pairs.world.sizes[-1] for each in (scene, other)]
    names = [f"the {sense.noun}" for sense in senses]
    answer = "neither" if large[0] == large[1] else names[large.index(True)]
    return Both((scene, other), senses, Question("larger", "which of the two is larger?", answer), (*names, "neither"))


JOINT: Mapping[str, Callable[[Scene, tuple[Sense, Sense], WorldPairs, Random], Both]] = {
    "same": _same, "larger": _larger,
}  # fmt: skip


def open_sensed(spec: str) -> Sensed:
    """`sound:single?count=8000`, with the options of the made world; `points:` and `video:` as well."""
    pairs = open_world(spec)
    return Sensed(pairs, _sense(spec.partition(":")[0].partition("?")[0], pairs.world))


def open_asked(spec: str) -> SensedQuestions:
    """`asked:sound:single?count=8000`."""
    rest = spec.partition(":")[2]
    pairs = open_world(rest)
    return SensedQuestions(pairs, _sense(rest.partition(":")[0].partition("?")[0], pairs.world))


def open_joint(spec: str) -> Joint:
    """`joint:image+sound:single?count=8000`."""
    rest = spec.partition(":")[2]
    pairs, names = open_world(rest), rest.partition(":")[0].partition("?")[0].split("+")
    if len(names) != 2:
        raise ValueError(
            f"{spec!r} names {len(names)} senses, but joint questions take two: 'joint:image+sound:single'"
        )
    return Joint(pairs, (_sense(names[0], pairs.world), _sense(names[1], pairs.world)))


def _sense(name: str, world: World) -> Sense:
    if name not in SENSES:
        raise unknown("sense", name, SENSES)
    return SENSES[name](world)


def _check(pairs: WorldPairs, sense: Sense) -> None:
    if pairs.noise is not None:
        raise ValueError("noise belongs to the texts of pictures: leave it out for other senses")
    sense.told(pairs.scene(0))  # says what is wrong with the world, if anything is


def _choices(answer: str, world: World) -> tuple[str, ...]:
    """All answers of the kind, the right one among them."""
    if answer in ("yes", "no"):
        return ("yes", "no")
    if answer.isdigit():
        return tuple(str(number + 1) for number in range(len(VOCABULARY["number"])))
    fields = {**world.offered(), "motion": VOCABULARY["motion"]}
    return next(values for values in fields.values() if answer in values)


def _asked(question: Question, choices: tuple[str, ...]) -> dict[str, Any]:
    tags = {"human": True, "kind": question.kind, "question": question.text, "answers": [question.answer]}
    return {**tags, "candidates": [*choices]}


def _without(facts: Mapping[str, str], *fields: str) -> Facts:
    return {field: value for field, value in facts.items() if field not in fields}


def _id(pairs: WorldPairs, index: int) -> str:
    return f"{pairs.split}-{index:06d}"


def _fingerprint(source: object) -> str:
    return hashlib.sha256(f"senses {VERSION} {source!r}".encode()).hexdigest()[:16]
