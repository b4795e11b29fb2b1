"""`mutants.py SEED FIRST COUNT`: damages the corpus's files and reads each, in a process that may die of it.

Prints a line for each, `number outcome`, before the next one is begun, and at the end the memory it took.
"""

import faulthandler
import io
import random
import resource
import sys
import warnings
from pathlib import Path

import corpus
import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))
from damage import KINDS

from chiasm.core.errors import MediaError
from chiasm.data.images import decode

SECONDS = 20  # for one file
FILES = sorted([sample.data for sample in corpus.SHOWN.values()] + [data for data, _ in corpus.REFUSED.values()])
FILES = [data for data in FILES if len(data) > 8]


def spliced(data: bytearray, chance: random.Random) -> None:
    """A piece of another file lies within."""
    other = chance.choice(FILES)
    start, at = chance.randrange(len(other)), chance.randrange(len(data))
    data[at : at + chance.choice((0, 16, 400))] = other[start : start + chance.choice((4, 64, 2000))]


def headed(data: bytearray, chance: random.Random) -> None:
    """The beginning of another format."""
    size = chance.choice((2, 8, 30, 100))
    data[:size] = chance.choice(FILES)[:size]


def mutant(seed: int, number: int) -> bytes:
    """A file of the corpus with one to three kinds of damage: a function of both numbers."""
    chance = random.Random(f"{seed} {number}")  # noqa: S311 - nothing secret
    data = bytearray(chance.choice(FILES))
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choice((*KINDS, spliced, headed))(data, chance)
        if not data:
            break
    return bytes(data)


def plainly(data: bytes) -> np.ndarray | None:
    """What Pillow alone would show; None for 16 bits, which it clips to white."""
    with warnings.catch_warnings(action="ignore"):
        image = Image.open(io.BytesIO(data))
        image.load()
        if image.mode.startswith("I"):
            return None
        try:
            image = ImageOps.exif_transpose(image)
        except Exception:  # noqa: BLE001 - unreadable EXIF is none
            image = image.copy()
        if image.has_transparency_data:
            clear = image.convert("RGBA")
            image = Image.new("RGBA", clear.size, "white")
            image.alpha_composite(clear)
        return np.array(image.convert("RGB"))


def outcome(data: bytes) -> str:
    """`read`, `refused`, or what should not be."""
    try:
        found = decode(data)
    except MediaError as error:
        return "refused" if len(str(error).splitlines()) == 1 and error.reason else f"unclear: {error}"
    try:
        expected = plainly(data)
    except Exception as error:  # noqa: BLE001 - of any kind
        return f"read, but {type(error).__name__}: {error}"
    return "read" if expected is None or np.array_equal(found, expected) else "wrong"


def main(seed: int, first: int, count: int) -> None:
    """Read them one by one."""
    warnings.simplefilter("error")
    for number in range(first, first + count):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        print(number, outcome(mutant(seed, number)), flush=True)  # noqa: T201
    faulthandler.cancel_dump_traceback_later()
    print("megabytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)  # noqa: T201


if __name__ == "__main__":
    faulthandler.enable()
    main(*map(int, sys.argv[1:]))
