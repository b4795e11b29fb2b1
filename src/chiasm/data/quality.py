"""What can be told of a pair without any model: size, sharpness, a fingerprint of the look, the language.

    picture ─ fit into 256 x 256 ─┬─ grey ─ Laplacian ─ variance ─ blur
                                  └─ 32 x 32 ─┬─ grey ─ cosine transform ─ 48 lowest frequencies ─┬─ hash
                                              └─ colour ─ mean of each quarter ─ 16 bits ─────────┘

The hash is like the well-known pHash, but sees colour: a red shirt is no duplicate of a blue one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

SIDE = 256  # pixels of the longer side at which sharpness is measured
GRID = 32  # pixels each way at which pictures are compared
FREQUENCIES = 48  # bits of the hash that tell of shapes; the other 16 tell of colours
FAINT = 0.25  # of the mean strength: a weaker frequency counts as absent, or noise would decide
SILENT = 8.0  # a wave of half a grey level over the whole picture
TINT = 8.0  # levels off grey from which a quarter counts as coloured
SURE = 0.25  # the probability from which a language is told: set on captions of 15 languages, see docs/data.md


@dataclass(frozen=True)
class Look:
    """A picture in four numbers."""

    width: int
    height: int
    blur: float  # the variance of the Laplacian; the larger, the sharper: below 50 most pictures look soft
    hash: int  # 64 bits; those of like pictures differ in few of them


def look(picture: UInt8[np.ndarray, "h w 3"]) -> Look:
    """Size, sharpness and hash. Sharpness is taken at one size, whatever the picture's own, so that it compares."""
    height, width, _ = picture.shape
    scale = SIDE / max(width, height)
    fit = max(1, round(width * scale)), max(1, round(height * scale))
    shown = Image.fromarray(picture).resize(fit, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Look(width, height, _sharpness(np.asarray(shown.convert("L"), np.float32)), _hash(shown))


def distance(a: int, b: int) -> int:
    """How many bits of two hashes differ: 0 to 3 for copies of a picture, more than 10 for most others."""
    return (a ^ b).bit_count()


def language(text: str) -> str:
    """Its ISO 639-1 code, such as "en"; "" where the words do not tell, being too few or none."""
    code, probability = _languages()(text)
    return code if probability >= SURE else ""


def _sharpness(grey: Float[np.ndarray, "h w"]) -> float:
    """The variance of the four neighbours minus four times the middle; the border continues outwards."""
    wide = np.pad(grey, 1, mode="edge")
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    return float(np.var(around - 4 * grey, dtype=np.float64))


def _hash(shown: Image.Image) -> int:
    small = shown.resize((GRID, GRID), Image.Resampling.BOX).convert("YCbCr")
    pixels = np.asarray(small, np.float64)
    bits = np.concatenate([_shapes(pixels[..., 0]), _colours(pixels[..., 1:] - 128)])
    return int.from_bytes(np.packbits(bits).tobytes())


def _shapes(grey: Float[np.ndarray, "n n"]) -> Bool[np.ndarray, "bits"]:
    """Which of the lowest frequencies are clearly positive; the mean brightness is none of them."""
    waves = _cosines(GRID)
    strengths = (waves @ grey @ waves.T)[_lowest(FREQUENCIES)]
    return strengths > max(SILENT, FAINT * float(np.abs(strengths).mean()))


def _colours(tints: Float[np.ndarray, "n n 2"]) -> Bool[np.ndarray, "bits"]:
    """Whether each quarter is blue, is red, is the contrary of either."""
    half = GRID // 2
    quarters = tints.reshape(2, half, 2, half, 2).mean(axis=(1, 3)).flatten()
    return np.concatenate([quarters > TINT, quarters < -TINT])


@cache
def _cosines(size: int) -> Float[np.ndarray, "n n"]:
    """The orthonormal cosine transform (DCT-II) as a matrix."""
    k, x = np.arange(size)[:, None], np.arange(size)[None]
    waves = np.sqrt(2 / size) * np.cos(np.pi * k * (2 * x + 1) / (2 * size))
    waves[0] /= np.sqrt(2)
    return waves


@cache
def _lowest(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the lowest frequencies but the zeroth, by the sum of both directions."""
    places = sorted(((v, u) for v in range(GRID) for u in range(GRID)), key=lambda place: (sum(place), place))
    rows, columns = zip(*places[1 : count + 1], strict=True)
    return np.array(rows), np.array(columns)


@cache
def _languages() -> Callable[[str], tuple[str, float]]:
    """From a text to its likeliest language, and how likely that is."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("languages are told apart by a package: pip install 'chiasm[inspect]'") from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in identifier.labels if len(code) == 2])  # dialects have three letters
    return identifier.classify
