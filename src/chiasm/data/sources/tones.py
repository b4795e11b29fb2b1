"""How a scene of the made world sounds: every thing is a tone, and they come from left to right.

    colour  pitch, four semitones apart      red is the lowest, brown the highest
    shape   timbre: which partials, and how loudness runs
    size    loudness: what is large is 12 dB louder

Where a thing lies cannot be heard, but for which of two comes first. What the words do not fix (exact pitch,
loudness, phase, and the hiss behind it all) comes from the scene's own seed, as the grain of pictures does.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.data.sources.canvas import Scene, Thing
from chiasm.data.sources.chance import chance
from chiasm.data.sources.grammar import VOCABULARY

RATE = 16_000
LOWEST = 200.0  # Hz
LOUDNESS = {"small": 0.1, "large": 0.4}
HISS = 0.004
STEPS = 32_767  # as a wav file keeps it: no processor rounds a sample to another one

Curve = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Timbre:
    """How loud each multiple of the pitch is, and all of them from a tone's begin (0) to its end (1)."""

    partials: tuple[float, ...]
    course: Callable[[Curve], Curve]


def _steady(t: Curve) -> Curve:
    return np.ones_like(t)


def _pulses(count: int) -> Callable[[Curve], Curve]:
    return lambda t: (t * count % 1.0 < 0.5).astype(np.float64)


TIMBRES: Mapping[str, Timbre] = {
    "circle": Timbre((1.0,), _steady),
    "square": Timbre((1.0, 0.0, 0.7, 0.0, 0.5), _steady),
    "triangle": Timbre((1.0, 0.5), _pulses(3)),
    "diamond": Timbre((1.0, 0.0, 0.0, 0.8), lambda t: np.sin(np.pi * t)),
    "star": Timbre((1.0, 0.8, 0.6, 0.4, 0.2), lambda t: np.exp(-5.0 * t)),
    "heart": Timbre((1.0, 0.5), lambda t: (t < 0.2) + 0.6 * ((t > 0.3) & (t < 0.5))),
    "cross": Timbre((1.0, 0.0, 0.0, 0.0, 0.5), _pulses(2)),
    "ring": Timbre((1.0,), lambda t: 0.5 + 0.5 * np.cos(16 * np.pi * t)),
    "crescent": Timbre((1.0, 0.5), lambda t: t),
    "hexagon": Timbre((1.0, 1.0, 1.0, 1.0, 1.0), _steady),
}


def pitch(colour: str) -> float:
    """In Hz."""
    return LOWEST * 2.0 ** (VOCABULARY["colour"].index(colour) / 3)


def sound(scene: Scene, samples: int) -> np.ndarray:
    """What is heard, float32 `[samples]` from -1 to 1, 16,000 a second; things share the time evenly."""
    rng = chance("sound", scene.seed)
    heard = HISS * (np.frombuffer(rng.randbytes(samples), dtype=np.uint8) / 127.5 - 1.0)
    edges = [i * samples // len(scene.things) for i in range(len(scene.things) + 1)]
    for thing, start, end in zip(sorted(scene.things, key=lambda thing: thing.x), edges, edges[1:], strict=False):
        heard[start:end] += _tone(thing, end - start, rng)
    return (np.round(heard * STEPS) / STEPS).astype(np.float32)


def _tone(thing: Thing, samples: int, rng: Random) -> Curve:
    timbre, t = TIMBRES[thing.shape], np.arange(samples) / samples
    hertz, loudness = pitch(thing.colour) * rng.uniform(0.985, 1.015), LOUDNESS[thing.size] * rng.uniform(0.9, 1.1)
    turns = hertz * np.arange(samples) / RATE + rng.random()
    waves = sum(weight * np.sin(2 * math.pi * n * turns) for n, weight in enumerate(timbre.partials, 1) if weight)
    soft = np.minimum(1.0, 25.0 * np.minimum(t, 1.0 - t))  # so that neither end clicks
    return loudness / sum(timbre.partials) * soft * timbre.course(t) * waves
