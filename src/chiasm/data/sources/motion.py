"""How a scene of the made world moves: its only thing goes somewhere, grows or shrinks, from picture to picture.

How it moves is drawn from the scene's own seed. Halfway through, a thing is as large as its words say; where it
is says nothing, since it has to stay on the picture all the way.
"""

from dataclasses import replace

import numpy as np

from chiasm.data.sources.canvas import Scene, Thing, draw
from chiasm.data.sources.chance import chance
from chiasm.data.sources.grammar import VOCABULARY

WAY = 0.3  # of the picture, from the first frame to the last
GROWTH = 0.35  # of the radius, either way
STEPS = {"moving left": (-1, 0), "moving right": (1, 0), "moving up": (0, -1), "moving down": (0, 1)}


def motion(scene: Scene) -> str:
    """What its thing does."""
    return chance("motion", scene.seed).choice(VOCABULARY["motion"])


def video(scene: Scene, frames: int, pixels: int) -> np.ndarray:
    """The pictures of a video, uint8 `[frames, pixels, pixels, 3]`."""
    (thing,) = scene.things
    doing = motion(scene)
    times = [frame / max(1, frames - 1) - 0.5 for frame in range(frames)]  # from -0.5 to 0.5
    return np.stack([draw(replace(scene, things=(_at(thing, doing, time),)), pixels) for time in times])


def _at(thing: Thing, doing: str, time: float) -> Thing:
    if doing in STEPS:
        x, y = (inside + WAY * time * step for inside, step in zip(_middle(thing, WAY / 2), STEPS[doing], strict=True))
        return replace(thing, x=x, y=y)
    x, y = _middle(thing, thing.radius * GROWTH)
    change = 2 * time * GROWTH * (1 if doing == "growing" else -1)
    return replace(thing, x=x, y=y, radius=thing.radius * (1.0 + change))


def _middle(thing: Thing, room: float) -> tuple[float, float]:
    """Where it is halfway: as near to its place as leaves so much room on every side."""
    margin = min(0.5, 1.15 * thing.radius + room)
    return min(1 - margin, max(margin, thing.x)), min(1 - margin, max(margin, thing.y))
