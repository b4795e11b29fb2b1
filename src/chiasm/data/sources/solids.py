"""How a scene of the made world feels: points on the surfaces of its things, and on the floor they stand on.

    circle    ball          ring      torus
    square    cube          others    their outline, drawn up like the rim of a cake tin
    triangle  pyramid

The floor is the picture seen from above, one wide and one deep: so sizes and places can be told, whatever
a cloud is scaled to later. Colours cannot be felt.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random

import numpy as np
from numpy.typing import NDArray

from chiasm.data.sources.canvas import OUTLINES, Scene, Thing
from chiasm.data.sources.chance import chance

FLOOR = 6  # one point of so many lies on it
Points = NDArray[np.float64]


def cloud(scene: Scene, count: int) -> np.ndarray:
    """Points of a scene, float32 `[count, 3]`: x to the right, y to the back, z up; things share them evenly."""
    rng = chance("points", scene.seed)
    floor = count // FLOOR
    edges = [i * (count - floor) // len(scene.things) for i in range(len(scene.things) + 1)]
    sizes = [end - start for start, end in pairwise(edges)]
    parts = [_placed(thing, size, rng) for thing, size in zip(scene.things, sizes, strict=True)]
    ground = _lots(rng, floor) - 0.5
    ground[:, 2] = 0.0
    return np.concatenate([*parts, ground]).astype(np.float32)


def _placed(thing: Thing, count: int, rng: Random) -> Points:
    """On the floor, where the picture has it, and turned a little."""
    surface = SOLIDS.get(thing.shape, _rim(thing.shape))(_lots(rng, count))
    turn = complex(math.cos(thing.tilt), -math.sin(thing.tilt))  # pictures count y downwards
    flat = (surface[:, 0] + 1j * surface[:, 1]) * turn
    at = np.stack([flat.real, flat.imag, surface[:, 2]], axis=1) * thing.radius
    return at + np.array([thing.x - 0.5, 0.5 - thing.y, -at[:, 2].min()])


def _ball(lots: Points) -> Points:
    height, angle = 2.0 * lots[:, 0] - 1.0, 2 * np.pi * lots[:, 1]
    width = np.sqrt(1.0 - height**2)
    return np.stack([width * np.cos(angle), width * np.sin(angle), height], axis=1)


def _cube(lots: Points) -> Points:
    side, half = (lots[:, 2] * 6).astype(int), 0.8
    rows, axis = np.arange(len(lots)), side % 3
    at = np.empty_like(lots)
    at[rows, axis] = np.where(side < 3, half, -half)
    at[rows, (axis + 1) % 3] = (2.0 * lots[:, 0] - 1.0) * half
    at[rows, (axis + 2) % 3] = (2.0 * lots[:, 1] - 1.0) * half
    return at


def _pyramid(lots: Points) -> Points:
    """Four sides over a square, each a point of its triangle turned by quarters."""
    share = 1.0 - np.sqrt(lots[:, 0])  # of the way up: there is less of a side the higher it is
    flat = 0.95 * (1.0 - share) * (1.0 + 1j * (2.0 * lots[:, 1] - 1.0)) * 1j ** np.floor(4 * lots[:, 2])
    return np.stack([flat.real, flat.imag, 1.6 * share], axis=1)


def _torus(lots: Points) -> Points:
    around, within = 2 * np.pi * lots[:, 0], 2 * np.pi * lots[:, 1]
    width = 0.72 + 0.28 * np.cos(within)
    return np.stack([width * np.cos(around), width * np.sin(around), 0.28 * np.sin(within)], axis=1)


def _rim(shape: str) -> Callable[[Points], Points]:
    """The outline of a picture's shape as an upright wall."""

    def wall(lots: Points) -> Points:
        outline = OUTLINES[shape]
        ends = np.append(outline[1:], outline[0])
        lengths = np.abs(ends - outline).cumsum()
        along = lots[:, 0] * lengths[-1]
        side = lengths.searchsorted(along, side="right").clip(max=len(outline) - 1)
        rest = (lengths[side] - along) / np.abs(ends - outline)[side]
        flat = ends[side] + rest * (outline - ends)[side]
        return np.stack([flat.real, -flat.imag, lots[:, 1]], axis=1)

    return wall


SOLIDS: Mapping[str, Callable[[Points], Points]] = {
    "circle": _ball, "square": _cube, "triangle": _pyramid, "ring": _torus,
}  # fmt: skip


def _lots(rng: Random, count: int) -> Points:
    """Evenly from 0 to 1, `[count, 3]`."""
    return np.frombuffer(rng.randbytes(12 * count), dtype="<u4").reshape(count, 3) / 2.0**32
