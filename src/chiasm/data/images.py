"""Pictures to tensors: any file or array in, uint8 squares or normalised floats out.

    path | bytes | PIL | array | tensor ─ decode ─ uint8 [h, w, 3] ─ resize ─ uint8 [3, s, s] ─ normalise ─ float

BLIP squeezes every picture to a square with a bicubic filter (arXiv:2201.12086, as released); CLIP
makes the shorter side fit, and keeps the middle (arXiv:2103.00020, as released).
"""

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from chiasm.core.ability import Picture
from chiasm.core.errors import MediaError
from chiasm.core.files import read_thing
from chiasm.core.types import Fit, Pixels
from chiasm.data.formats import called, readable
from chiasm.data.pairs import Unread

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
LARGEST = 2 * (1 << 30) // 12  # pixels; what Pillow calls a bomb: half a gigabyte of RGB
BYTES = 8 * LARGEST  # of a file: four channels of 16 bits, not compressed
ORIENTATION = 0x0112  # the EXIF tag
CROPPED = 1 << 24  # pixels of a resized picture before its middle is taken; of what would have more, the ends go first
# what Pillow's readers were seen to raise on damaged files
BROKEN = (
    OSError, ValueError, TypeError, SyntaxError, EOFError, LookupError, ArithmeticError, AttributeError, MemoryError,
    RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Pillow's complaints would land on stderr


class Resize(Enum):
    """How a picture becomes a square: both are antialiased and bicubic."""

    FAST = auto()  # torch on uint8: a level of 255 away from Pillow in one value of 200, two in a few of a million
    EXACT = auto()  # Pillow, whose weights have 22 bits where torch's have 15, and 5 to 7 times the time


@dataclass(frozen=True)
class ImageProcessor:
    """Turns pictures into what a model wants to see."""

    pixels: Pixels
    method: Resize = Resize.FAST

    def __call__(self, pictures: Sequence[Picture]) -> Float[Tensor, "b 3 s s"]:
        size = self.pixels.size
        squares = [self.read(picture, index=index) for index, picture in enumerate(pictures)]
        return self.normalise(torch.stack(squares) if squares else torch.empty(0, 3, size, size, dtype=torch.uint8))

    def read(self, picture: Picture, *, index: int = 0) -> UInt8[Tensor, "3 s s"]:
        """Everything but the normalisation, which is quicker by the batch."""
        pixels = self.pixels
        return resize(decode(picture, index=index), pixels.size, method=self.method, fit=pixels.fit).contiguous()

    def normalise(self, squares: UInt8[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s s"]:
        """`(x / 255 - mean) / std` as one multiplication and one addition, both where the floats already lie."""
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.pixels.mean, self.pixels.std))
        return squares.float().mul_(1 / (255 * std)).add_(-mean / std)


def decode(picture: Picture, *, index: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a picture as a viewer shows them, upright and on white.

    Whatever is wrong with it is a `MediaError` that names `index`; of an animation the first frame
    counts. An array that is right already is not copied.
    """
    match picture:
        case str() | Path():
            return _from_bytes(read_thing(picture, index=index, most=BYTES), index, str(picture))
        case bytes() | bytearray() | memoryview():
            return _from_bytes(bytes(picture), index, "bytes")
        case Image.Image():
            with QUIET:
                return _from_pillow(picture, index, "PIL.Image")
        case np.ndarray():
            return _from_array(picture, index)
        case Unread(where, reason):
            raise MediaError(index, where, reason)
        case Tensor():
            return _from_tensor(picture.detach().cpu(), index)
        case _:
            raise MediaError(index, type(picture).__name__, "is no path, bytes, PIL.Image, array or tensor")


def resize(
    picture: UInt8[np.ndarray, "h w 3"], size: int, *, method: Resize = Resize.FAST, fit: Fit = Fit.SQUASH
) -> UInt8[Tensor, "3 s s"]:
    """A square of `size` pixels, whatever the shape was."""
    match fit:
        case Fit.SQUASH:
            return _resized(picture, size, size, method)
        case Fit.CROP:
            short = min(picture.shape[:2])
            rows, columns = (_middle(side, max(1, CROPPED // size**2) * short) for side in picture.shape[:2])
            picture = picture[rows, columns]
            high, wide = (size * side // short for side in picture.shape[:2])
            return _resized(picture, high, wide, method)[:, _middle(high, size), _middle(wide, size)]


def _middle(side: int, kept: int) -> slice:
    """Of a side, at most `kept` pixels in its middle; the odd one is left out at the end."""
    start = max(0, side - kept) // 2
    return slice(start, min(side, start + kept))


def _resized(picture: np.ndarray, high: int, wide: int, method: Resize) -> Tensor:
    if method is Resize.EXACT:
        picture = np.array(Image.fromarray(picture).resize((wide, high), Image.Resampling.BICUBIC))
    # torch takes neither read-only arrays nor negative strides
    pixels = torch.from_numpy(np.require(picture, requirements=["C", "W"])).permute(2, 0, 1)
    height, width = pixels.shape[1:]
    if height > high and 2 * (width - wide) < height - high:
        # Pillow begins with the columns then (measured on version 13), and both round in between
        pixels = _bicubic(pixels, high, width)
    return pixels if pixels.shape[1:] == (high, wide) else _bicubic(pixels, high, wide)


def _bicubic(pixels: Tensor, height: int, width: int) -> Tensor:
    # one picture that was [h, w, 3] is channels-last, the fast path of torch
    return F.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True)[0]


class _Quiet:
    """No warnings of Pillow's while any thread is inside.

    `warnings.catch_warnings` alone is not enough: two threads that leave it in the order in which
    they entered would switch the warnings off for good.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = warnings.catch_warnings()
                self.before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.before.__exit__(None, None, None)


QUIET = _Quiet()


def _from_bytes(data: bytes, index: int, path: str) -> UInt8[np.ndarray, "h w 3"]:
    if not data:
        raise MediaError(index, path, "is empty (0 bytes)")
    with QUIET:
        try:
            image = Image.open(io.BytesIO(data), formats=readable())
        except Image.DecompressionBombError as error:
            raise MediaError(index, path, f"has more than {LARGEST // 10**6} million pixels") from error
        except Image.UnidentifiedImageError as error:
            raise MediaError(index, path, f"is not a picture of any known format{called(data)}") from error
        except BROKEN as error:
            raise MediaError(index, path, f"cannot be opened: {error}") from error
        _check_size(image, index, path)
        if image.format in ("JPEG", "MPO") and image.mode == "RGB" and _orientation(image) == 1:
            try:
                return simplejpeg.decode_jpeg(data)
            except ValueError:  # strict about blemishes that Pillow overlooks
                pass
        return _from_pillow(image, index, path)


def _from_pillow(image: Image.Image, index: int, path: str) -> UInt8[np.ndarray, "h w 3"]:
    _check_size(image, index, path)
    try:
        image.load()
        return np.array(_rgb(ImageOps.exif_transpose(image) if _orientation(image) != 1 else image))
    except BROKEN as error:
        raise MediaError(index, path, f"cannot be decoded: {error or type(error).__name__}") from error


def _check_size(image: Image.Image, index: int, path: str) -> None:
    if not 0 < image.width * image.height <= LARGEST:
        reason = f"has {image.width} x {image.height} pixels, allowed are 1 to {LARGEST // 10**6} million"
        raise MediaError(index, path, reason)


def _orientation(image: Image.Image) -> int:
    """How the camera was held; a picture with unreadable EXIF counts as upright."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except BROKEN:
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are fractions, and nothing says which of them is white: save it with 8 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _high_byte(image)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return image.convert("RGB")


def _high_byte(image: Image.Image) -> Image.Image:
    """Of 16 bits a pixel, which Pillow would clip to white."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if low < 0 or high > 65535:
        raise ValueError(f"its pixels go from {low} to {high}, and 16 bits hold 0 to 65535: save it with 8 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _from_array(array: np.ndarray, index: int) -> UInt8[np.ndarray, "h w 3"]:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        reason = f"should be uint8 [h, w, 3], but is {array.dtype} {list(array.shape)}"
        raise MediaError(index, "array", reason)
    return array


def _from_tensor(tensor: Tensor, index: int) -> UInt8[np.ndarray, "h w 3"]:
    if tensor.ndim != 3 or len(tensor) != 3 or tensor.numel() == 0:
        raise MediaError(index, "tensor", f"should be [3, h, w], but is {list(tensor.shape)}")
    if tensor.is_floating_point():
        if not bool(((tensor >= 0) & (tensor <= 1)).all()):
            low, high = tensor.min().item(), tensor.max().item()
            raise MediaError(index, "tensor", f"should lie in 0..1, but lies in {low:.3g}..{high:.3g}")
        tensor = tensor.float().mul(255).round().to(torch.uint8)
    if tensor.dtype != torch.uint8:
        raise MediaError(index, "tensor", f"should be uint8 or float, but is {tensor.dtype}")
    return tensor.permute(1, 2, 0).numpy()
