"""All there is to know of one pair, as numbers: of the picture itself nothing is kept."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chiasm.core.errors import MediaError
from chiasm.data.images import decode
from chiasm.data.pairs import Pair, Stored, Unread
from chiasm.data.quality import Look, look
from chiasm.data.text import clean

FORMATS = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WebP", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF",
}  # fmt: skip
NAME = re.compile(r"\S+\.(jpe?g|png|gif|webp|bmp|tiff?|heic|raw)|(https?://|www\.)\S+", re.IGNORECASE)
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")  # kana and Han have no blanks
Tongue = Callable[[str], str]  # from a text to its language


@dataclass(frozen=True)
class Picture:
    """A picture that can be read."""

    look: Look
    pixels: int  # a digest of them
    bytes: int
    format: str


@dataclass(frozen=True)
class Words:
    """A text."""

    digest: int  # of what training would read of it
    letters: int
    words: int
    empty: bool  # nothing is left once it is cleaned
    cut: bool  # it has more words than training reads
    name: bool  # of a file or a page, rather than a description
    language: str


@dataclass(frozen=True)
class Examined:
    """A pair; a picture that cannot be read is the reason why not."""

    picture: Picture | str
    words: Words


def examine(pair: Pair, tongue: Tongue) -> Examined:
    """Read both; whatever is wrong with the picture is no error."""
    return Examined(_picture(pair.image), _words(pair.text, tongue))


def digest(data: bytes) -> int:
    """64 bits that are the same for equal bytes, in any process."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def _picture(image: Stored) -> Picture | str:
    try:
        pixels = decode(image)
        size, format_ = _file(image)
    except MediaError as error:
        return error.reason
    except OSError as error:  # it has gone since it was decoded
        return error.strerror or str(error)
    return Picture(look(pixels), digest(str(pixels.shape).encode() + pixels.tobytes()), size, format_)


def _file(image: Stored) -> tuple[int, str]:
    """How many bytes, and of what format by its first bytes, whatever its name says."""
    match image:
        case Path():
            with image.open("rb") as file:
                return image.stat().st_size, _format(file.read(8))
        case bytes():
            return len(image), _format(image[:8])
        case np.ndarray():
            return image.nbytes, "pixels"
        case Unread(where, reason):
            raise MediaError(0, where, reason)
        case _:
            raise MediaError(0, type(image).__name__, "is no picture")


def _format(start: bytes) -> str:
    return next((name for signature, name in FORMATS.items() if start.startswith(signature)), "other")


def _words(text: str, tongue: Tongue) -> Words:
    cleaned = clean(text)
    return Words(
        digest=digest(cleaned.encode()),
        letters=len(text),
        words=len(WORD.findall(text)),
        empty=not cleaned,
        cut=cleaned != clean(text, max_words=len(text)),
        name=bool(NAME.fullmatch(text.strip())),
        language=tongue(text),
    )
