"""The made world: coloured shapes as pictures, true captions by grammar, the web's noise, all from a seed.

    (world, seed, split, index) -> Scene -> draw: pixels at any size
                                         -> caption, captions, facts, questions, boxes, mask

No files and no end: the same numbers give the same bytes in any process.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from chiasm.core.errors import unknown
from chiasm.data.noise import Noise, spoil
from chiasm.data.pairs import Pair
from chiasm.data.sources.canvas import OUTLINES, Colour, Scene, Thing, boxes, draw, mask
from chiasm.data.sources.chance import chance, share
from chiasm.data.sources.grammar import PHRASINGS, VOCABULARY, Facts, meaning, one_wrong, parse, say
from chiasm.data.sources.spec import Made, check, read_spec

__all__ = [
    "PRESETS", "SPLITS", "Counted", "Facts", "Placed", "Related", "Scene", "Thing", "World", "WorldPairs", "boxes",
    "caption", "captions", "draw", "facts", "mask", "open_world", "pair", "parse", "scene", "single",
]  # fmt: skip

VERSION = 2  # counts changes of what the same numbers draw
SPLITS = ("train", "human", "val", "test", "test-combinations")
PAINTS: Mapping[str, Colour] = {
    "red": (222, 45, 45),
    "orange": (245, 135, 25),
    "yellow": (246, 216, 50),
    "green": (52, 168, 72),
    "cyan": (60, 205, 215),
    "blue": (45, 95, 230),
    "purple": (140, 60, 190),
    "pink": (250, 140, 190),
    "brown": (140, 90, 55),
}
GROUNDS: Mapping[str, Colour] = {
    "": (58, 60, 66),  # the unspoken one
    "black": (14, 14, 16),
    "grey": (128, 128, 130),
    "white": (240, 240, 238),
    "navy": (22, 32, 84),
}
RADII = {"small": 0.115, "large": 0.18}
SOLID = ("circle", "square", "triangle", "heart", "hexagon")  # another thing fits into these
REACH = 1.15  # no outline goes further from its middle, in radii


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One thing on a 3 x 3 grid, the place said: `a large red circle at the top left`."""

    places: tuple[str, ...] = VOCABULARY["place"]

    def arrange(self, world: "World", rng: Random) -> tuple[tuple[Thing, ...], Facts]:
        place = rng.choice(self.places)
        row, column = divmod(VOCABULARY["place"].index(place), 3)
        thing = world.thing(rng, x=0.22 + 0.28 * column, y=0.22 + 0.28 * row, place=place)
        return (thing,), {**world.described(thing), "place": place}

    def offered(self) -> dict[str, tuple[str, ...]]:
        return {"place": self.places}


@dataclass(frozen=True, kw_only=True)
class Related:
    """Two things and how the first lies to the second: `a small red ring left of a large blue star`."""

    relations: tuple[str, ...] = VOCABULARY["relation"]

    def arrange(self, world: "World", rng: Random) -> tuple[tuple[Thing, ...], Facts]:
        relation = rng.choice(self.relations)
        things = _inside(world, rng) if relation == "inside" else _beside(world, rng, relation)
        first, second = (world.described(thing) for thing in things)
        facts = {**first, "relation": relation, **{f"other_{field}": value for field, value in second.items()}}
        # what lies inside is painted last
        return things[::-1], facts

    def offered(self) -> dict[str, tuple[str, ...]]:
        return {"relation": self.relations}


@dataclass(frozen=True, kw_only=True)
class Counted:
    """One or two groups of equal things: `three small red circles and a large blue star`."""

    fewest: int = 2
    most: int = 4

    def arrange(self, world: "World", rng: Random) -> tuple[tuple[Thing, ...], Facts]:
        total = rng.randint(self.fewest, self.most)
        first = total if rng.random() < 0.25 else rng.randint((total + 1) // 2, total - 1)
        kinds = _two_kinds(world, rng)
        if first * 2 == total:
            kinds = sorted(kinds, key=lambda kind: (kind.colour, kind.shape))
        corners = rng.sample([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)], total)
        things = [
            world.jittered(rng, replace(kinds[0] if i < first else kinds[1], x=x, y=y), spread=0.04)
            for i, (x, y) in enumerate(corners)
        ]
        facts = {"number": VOCABULARY["number"][first - 1], **world.described(kinds[0])}
        if first < total:
            facts["other_number"] = VOCABULARY["number"][total - first - 1]
            facts |= {f"other_{field}": value for field, value in world.described(kinds[1]).items()}
        return tuple(things), facts

    def offered(self) -> dict[str, tuple[str, ...]]:
        return {"number": VOCABULARY["number"][: self.most]}


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is to see and to say; an empty attribute is neither varied nor said.

    `phrasings` above 1 lets texts leave the canonical wording; `pixels` is the side of a picture.
    """

    layout: Placed | Related | Counted
    colours: tuple[str, ...] = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
    shapes: tuple[str, ...] = ("circle", "square", "triangle", "diamond", "star", "heart", "cross", "ring")
    sizes: tuple[str, ...] = ("small", "large")
    backgrounds: tuple[str, ...] = ()
    phrasings: int = 1
    pixels: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.phrasings <= PHRASINGS:
            raise ValueError(f"the grammar has 1 to {PHRASINGS} phrasings, but the world asks for {self.phrasings}")
        for field, values in self.offered().items():
            if strange := set(values) - set(VOCABULARY[field]):
                raise unknown(field, min(strange), VOCABULARY[field])
        if len(self.colours) < 2 or not self.shapes:
            raise ValueError(f"a world needs two colours and a shape, but has {self.colours} and {self.shapes}")
        if "inside" in self.offered().get("relation", ()) and not set(self.shapes) & set(SOLID):
            raise ValueError(f"nothing fits into {self.shapes}: add one of {SOLID} or leave out the relation 'inside'")

    def scene(self, rng: Random) -> Scene:
        """One more scene."""
        background = rng.choice(self.backgrounds) if self.backgrounds else ""
        things, facts = self.layout.arrange(self, rng)
        if background:
            facts["background"] = background
        return Scene(
            things=things, facts=facts, background=_shaded(rng, GROUNDS[background], by=7), seed=rng.getrandbits(32)
        )

    def offered(self) -> dict[str, tuple[str, ...]]:
        """The values that occur, by field: where a wrong one is drawn from."""
        ours = {"colour": self.colours, "shape": self.shapes, "size": self.sizes, "background": self.backgrounds}
        return {**ours, **self.layout.offered()}

    def described(self, thing: Thing) -> Facts:
        """What is said of a thing by itself."""
        size = {"size": thing.size} if self.sizes else {}
        return {**size, "colour": thing.colour, "shape": thing.shape}

    def thing(self, rng: Random, *, x: float, y: float, place: str = "", grow: float = 1.0) -> Thing:
        """A thing of any kind, somewhere near `x`, `y`."""
        size = rng.choice(self.sizes) if self.sizes else "large"
        colour, shape = rng.choice(self.colours), rng.choice(self.shapes)
        exact = Thing(
            size=size, colour=colour, shape=shape, place=place, x=x, y=y, radius=RADII[size] * grow, tilt=0.0,
            paint=PAINTS[colour],
        )  # fmt: skip
        return self.jittered(rng, exact, spread=0.035)

    def jittered(self, rng: Random, thing: Thing, *, spread: float) -> Thing:
        """What words leave open: the exact position, size, tilt and hue."""
        radius = thing.radius * rng.uniform(0.93, 1.07)
        margin = min(0.5, REACH * radius)
        return replace(
            thing,
            x=min(1 - margin, max(margin, thing.x + rng.uniform(-spread, spread))),
            y=min(1 - margin, max(margin, thing.y + rng.uniform(-spread, spread))),
            radius=radius,
            tilt=math.radians(rng.uniform(-9, 9)),
            paint=_shaded(rng, thing.paint),
        )


def single() -> World:
    """One thing, its size, colour, shape and place: 864 captions. The easiest world.

    Its shapes are those that are told apart on a dozen pixels.
    """
    return World(layout=Placed(), shapes=("circle", "square", "triangle", "star", "cross", "ring"))


def backdrop() -> World:
    """`single`, and the background's colour is said as well: 3,456 captions."""
    return replace(single(), backgrounds=VOCABULARY["background"])


def pair() -> World:
    """Two things and their relation: 80,000 captions, of which order matters."""
    return World(layout=Related())


def scene() -> World:
    """Two to four things in one or two groups, counted."""
    return World(layout=Counted())


PRESETS: Mapping[str, Callable[[], World]] = {"single": single, "backdrop": backdrop, "pair": pair, "scene": scene}


def facts(scene: Scene) -> Facts:
    """The attributes by name, as the caption says them."""
    return dict(scene.facts)


def caption(scene: Scene) -> str:
    """The canonical true caption."""
    return say(facts(scene))


def captions(scene: Scene) -> list[str]:
    """Every wording of the true caption, the canonical one first."""
    return [say(facts(scene), phrasing) for phrasing in range(PHRASINGS)]


@dataclass(frozen=True)
class WorldPairs(Made):
    """Pairs of a world: `train` is the web (noisy if asked), every other split is human and true.

    Splits never share a picture. `held_out` is the share of combinations of attributes that only
    the split `test-combinations` shows, and that split shows nothing else.
    """

    world: World
    seed: int = 0
    count: int = 8000
    split: str = "train"
    noise: Noise | None = None
    held_out: float = 0.0

    def __post_init__(self) -> None:
        check(self.split, SPLITS, count=self.count, noise=self.noise, pixels=self.world.pixels)
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}, but a share of combinations lies in 0 <= share < 1")
        if self.split == "test-combinations" and not self.held_out:
            raise ValueError("the split 'test-combinations' is empty unless held_out is above 0")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        scene = self.scene(index)
        truth = caption(scene)
        rng = chance("text", self.seed, self.split, index)
        text, kind = say(facts(scene), rng.randrange(self.world.phrasings)), ""
        if self.noise is not None:
            text, kind = spoil(
                text,
                rng,
                self.noise,
                swap=lambda rng: self._other(scene, rng),
                attribute=lambda rng: self._worded(one_wrong(facts(scene), rng, self.world.offered()), rng),
            )
        tags = {"human": self.split != "train", "noise": kind, "truth": truth, "facts": facts(scene)}
        return Pair(f"{self.split}-{index:06d}", draw(scene, self.world.pixels), text, tags)

    def scene(self, index: int) -> Scene:
        """What is on picture `index`."""
        if not 0 <= index < self.count:
            raise IndexError(f"pair {index} of a source that has {self.count}")
        return self.drawn(chance("scene", self.seed, self.split, index))

    def drawn(self, rng: Random) -> Scene:
        """Any scene that this split may show."""
        if not self.held_out:
            return self.world.scene(rng)
        while self._held_out(made := self.world.scene(rng)) != (self.split == "test-combinations"):
            pass
        return made

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"world {VERSION} {self!r}".encode()).hexdigest()[:16]

    def _held_out(self, scene: Scene) -> bool:
        return any(share(f"{t.size}/{t.colour}/{t.shape}/{t.place}") < self.held_out for t in scene.things)

    def _other(self, scene: Scene, rng: Random) -> str:
        while meaning(other := facts(self.drawn(rng))) == meaning(facts(scene)):
            pass
        return self._worded(other, rng)

    def _worded(self, facts: Facts, rng: Random) -> str:
        return say(facts, rng.randrange(self.world.phrasings))


def open_world(spec: str) -> WorldPairs:
    """Pairs by name: `world:single?count=8000&seed=0&noise=0.5&split=train`."""
    name, given = read_spec(
        spec,
        {
            "count": int, "seed": int, "split": str, "held_out": float, "noise": lambda rate: Noise(rate=float(rate)),
            "pixels": int, "phrasings": int,
        },
    )  # fmt: skip
    if (name or "single") not in PRESETS:
        raise unknown("world", name, PRESETS)
    ours = {option: given.pop(option) for option in ("pixels", "phrasings") if option in given}
    return WorldPairs(replace(PRESETS[name or "single"](), **ours), **given)


def _beside(world: World, rng: Random, relation: str) -> tuple[Thing, Thing]:
    """The first thing on its side of the second; along the other axis both are free, but less."""
    across, along = (0.24 if relation in ("left of", "above") else 0.76), 0.5
    spots = [(across, along), (1 - across, along)]
    if relation in ("above", "below"):
        spots = [(y, x) for x, y in spots]
    while True:
        first, second = (world.thing(rng, x=x, y=y, grow=1.1) for x, y in spots)
        if world.described(first) != world.described(second):
            return first, second


def _inside(world: World, rng: Random) -> tuple[Thing, Thing]:
    """A small thing on a large one that has room for it, in another colour."""
    solid = replace(world, shapes=tuple(shape for shape in world.shapes if shape in SOLID), sizes=world.sizes[-1:])
    outer = solid.thing(rng, x=0.5, y=0.5, grow=1.9)
    colours = tuple(colour for colour in world.colours if colour != outer.colour)
    within = replace(world, colours=colours, sizes=world.sizes[:1])
    middle = complex(outer.x, outer.y) + outer.radius * OUTLINES[outer.shape].mean()
    return within.thing(rng, x=middle.real, y=middle.imag, grow=0.9), outer


def _two_kinds(world: World, rng: Random) -> list[Thing]:
    """Two things that differ in colour or shape."""
    while True:
        first, second = (world.thing(rng, x=0.5, y=0.5) for _ in range(2))
        if (first.colour, first.shape) != (second.colour, second.shape):
            return [first, second]


def _shaded(rng: Random, colour: Colour, *, by: int = 12) -> Colour:
    red, green, blue = [min(255, max(0, part + int(rng.uniform(-by, by + 1)))) for part in colour]
    return red, green, blue
