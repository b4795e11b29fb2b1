"""How a scene of the made world becomes pixels: outlines in the unit circle, drawn large and shrunk.

All positions are shares of the picture, so that a scene is the same at 32 and at 224 pixels. What the
words do not fix (exact place, size, tilt, hue, texture) lies in the scene too: drawing draws no lots
but for the grain, which comes from the scene's own seed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from chiasm.data.sources.chance import chance

Colour = tuple[int, int, int]
Outline = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object: what is said of it, and where exactly it is."""

    size: str
    colour: str
    shape: str
    place: str
    x: float
    y: float
    radius: float
    tilt: float
    paint: Colour


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is on a picture; later things are painted over earlier ones."""

    things: tuple[Thing, ...]
    facts: Mapping[str, str]
    background: Colour
    seed: int


def _regular(corners: int, *, start: int = -90, inner: float = 1.0) -> Outline:
    """A polygon around the unit circle, as complex numbers; every second corner at radius `inner`."""
    angles = np.radians(start + np.arange(corners) * 360 / corners)
    return (np.exp(1j * angles) * np.where(np.arange(corners) % 2, inner, 1.0)).astype(np.complex128)


def _heart() -> Outline:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return ((x + 1j * (y - 2.5)) / 16).astype(np.complex128)


def _ring() -> Outline:
    circle = np.append(_regular(48), _regular(48)[0])
    return np.concatenate([circle, 0.52 * circle[::-1]]).astype(np.complex128)


def _crescent() -> Outline:
    outer = np.exp(1j * np.radians(np.linspace(50, 310, 40)))
    tip, bend = outer[-1], 0.78
    centre = tip.real + math.sqrt(bend**2 - tip.imag**2)
    half = math.degrees(math.atan2(-tip.imag, tip.real - centre))
    inner = centre + bend * np.exp(1j * np.radians(np.linspace(360 - half, half, 32)))
    return (np.concatenate([outer, inner]) * 1.05 + 0.1).astype(np.complex128)


def _cross() -> Outline:
    arm = [1 + 0.34j, 0.34 + 0.34j, 0.34 + 1j]
    quarter = np.array(arm) / abs(arm[0])
    return np.concatenate([quarter * 1j**turn for turn in range(4)]).astype(np.complex128) * 1.08


OUTLINES: Mapping[str, Outline] = {
    "circle": 0.95 * _regular(48),
    "square": 1.12 * _regular(4, start=-45),
    "triangle": 1.08 * _regular(3) + 0.1j,
    "diamond": _regular(4) * 1.12 * np.where(np.arange(4) % 2, 0.72, 1.0),
    "star": 1.12 * _regular(10, inner=0.45),
    "heart": _heart(),
    "cross": _cross(),
    "ring": _ring(),
    "crescent": _crescent(),
    "hexagon": _regular(6, start=0),
}


def draw(scene: Scene, size: int) -> np.ndarray:
    """The picture, uint8 `[size, size, 3]`."""
    fine = _fineness(size)
    picture = Image.new("RGB", (size * fine, size * fine), scene.background)
    brush = ImageDraw.Draw(picture)
    for thing in scene.things:
        brush.polygon(_corners(thing, size * fine), fill=thing.paint)
    pixels = np.asarray(picture.reduce(fine), dtype=np.int16)
    return np.clip(pixels + _texture(scene.seed, size), 0, 255).astype(np.uint8)


def boxes(scene: Scene) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every thing, as shares of the picture."""
    outlines = [_outline(thing) for thing in scene.things]
    return [(float(o.real.min()), float(o.imag.min()), float(o.real.max()), float(o.imag.max())) for o in outlines]


def mask(scene: Scene, index: int, size: int) -> np.ndarray:
    """Where a thing can be seen, bool `[size, size]`: what is painted over it is not its own."""
    fine = _fineness(size)
    ink = Image.new("L", (size * fine, size * fine), 0)
    brush = ImageDraw.Draw(ink)
    for place, thing in enumerate(scene.things[index:]):
        brush.polygon(_corners(thing, size * fine), fill=0 if place else 255)
    return np.asarray(ink.reduce(fine)) > 127


def _fineness(size: int) -> int:
    return max(3, 128 // size)


def _outline(thing: Thing) -> Outline:
    turn = thing.radius * complex(math.cos(thing.tilt), math.sin(thing.tilt))
    return complex(thing.x, thing.y) + turn * OUTLINES[thing.shape]


def _corners(thing: Thing, size: int) -> list[float]:
    # -0.5: Pillow counts coordinates from the middle of a pixel
    return (_outline(thing) * size - (0.5 + 0.5j)).view(np.float64).tolist()


def _texture(seed: int, size: int) -> np.ndarray:
    """Soft light over the whole picture, and a fine grain."""
    rng = chance(seed)
    coarse = Image.frombytes("L", (4, 4), rng.randbytes(16)).resize((size, size), Image.Resampling.BICUBIC)
    light = np.asarray(coarse, dtype=np.int16) // 16 - 8
    grain = np.frombuffer(rng.randbytes(size * size), dtype=np.uint8).astype(np.int16).reshape(size, size) // 32 - 4
    return (light + grain)[:, :, None]
