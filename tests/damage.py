"""What happens to files: each kind changes bytes in place, by chance."""

import random
import re


def flipped(data: bytearray, chance: random.Random) -> None:
    """Some bits are the other way round, more of them near the beginning, where the structure is."""
    room = len(data) if chance.random() < 0.5 else min(len(data), 200)
    for _ in range(chance.choice((1, 2, 4, 16))):
        data[chance.randrange(room)] ^= 1 << chance.randrange(8)


def cut(data: bytearray, chance: random.Random) -> None:
    """It ends too early."""
    del data[chance.randrange(1, len(data)) :]


def moved(data: bytearray, chance: random.Random) -> None:
    """A piece lies within another one."""
    start, at = chance.randrange(len(data)), chance.randrange(len(data))
    data[at : at + chance.choice((0, 16, 400))] = data[start : start + chance.choice((4, 64, 2000))]


def filled(data: bytearray, chance: random.Random) -> None:
    """A piece is noise, or all zeros or ones: lengths and sizes become extreme."""
    at, size = chance.randrange(len(data)), chance.choice((1, 2, 4, 8, 64))
    data[at : at + size] = chance.choice((bytes(size), b"\xff" * size, b"\x7f" * size, chance.randbytes(size)))


def dropped(data: bytearray, chance: random.Random) -> None:
    """A piece is missing."""
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 4, 30, 500))]


def doubled(data: bytearray, chance: random.Random) -> None:
    """A piece comes twice."""
    at, size = chance.randrange(len(data)), chance.choice((4, 30, 500))
    data[at:at] = data[at : at + size]


def told_otherwise(data: bytearray, chance: random.Random) -> None:
    """A number or a name of a text is another value."""
    values = [*re.finditer(rb'\d+|"\w+"', data)]
    if values:
        value = chance.choice(values)
        data[value.start() : value.end()] = chance.choice((b"0", b"-1", b"1.5", b"null", b'"x"', b"[]", b"{}", b"1e9"))


KINDS = (flipped, cut, moved, filled, dropped, doubled)


def damaged(data: bytes, *seed: object) -> bytes:
    """The file with one to three kinds of damage: a function of the seed."""
    chance, left = random.Random(repr(seed)), bytearray(data)  # noqa: S311 - nothing secret
    for _ in range(chance.choice((1, 1, 2, 3))):
        if left:
            chance.choice((*KINDS, told_otherwise))(left, chance)
    return bytes(left)
