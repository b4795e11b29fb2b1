"""What a file is by its first bytes, whatever its name says: formats that are read, and others by name.

Pillow opens more than pictures of the web, some of it by running other programs (EPS), some without
any mark to know it by (TGA): a list of what is read keeps such files from being pictures by mistake.
"""

import re
from functools import cache

from PIL import Image

READ = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP")
OTHERS = (
    (rb"....ftyp(hei|hev|mif|msf)", "HEIC: save it as JPEG or PNG"),
    (rb"....ftypavi[fs]", "AVIF, which this build of Pillow cannot read: save it as JPEG or PNG"),
    (rb"....(ftyp|moov|mdat)|\x1aE\xdf\xa3", "a video"),
    (rb"%PDF", "PDF: save its pages as PNG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript: save it as PNG"),
    (rb"8BPS", "Photoshop's: save it as PNG"),
    (rb"version https://git-lfs", "a Git LFS pointer: git lfs pull fetches the picture"),
    (rb"PK[\x03\x05]|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive: unpack it"),
    (rb"(?s:.{0,1024})<svg[\s>]", "SVG: save it as PNG"),
    (rb"(?i)\s*<(!doctype html|html|head)", "a web page, perhaps what a server said in place of a picture"),
)


@cache
def readable() -> tuple[str, ...]:
    """Those of `READ` that this build of Pillow knows."""
    Image.init()
    return tuple(name for name in READ if name in Image.OPEN)


def called(data: bytes) -> str:
    """`, but a video`, for what is no picture but well known; "" for the rest."""
    start = data[:2048].removeprefix(b"\xef\xbb\xbf")
    return next((f", but {name}" for pattern, name in OTHERS if re.match(pattern, start, re.DOTALL)), "")
