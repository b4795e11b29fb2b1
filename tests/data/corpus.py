"""Pictures as people have them, made by a script: each with the pixels it shows, or why it shows none.

What a picture shows is known from how it was made, or, where the format loses something, from Pillow.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

RNG = np.random.default_rng(0)
Y, X = np.mgrid[:40, :56]
SOFT = np.stack([4 * X, 6 * Y, 255 - 2 * X - 3 * Y], -1).clip(0, 255).astype(np.uint8)  # kind to JPEG
NOISE = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)
NOISE[:4] = SOFT[:4]
ALPHA = RNG.integers(0, 256, (40, 56), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (40, 56, 3), dtype=np.uint16)
GREY = NOISE[..., 1]


@dataclass(frozen=True)
class Sample:
    """A file, and what it shows; `off` levels away at most."""

    data: bytes
    shows: np.ndarray
    off: int = 0


def file(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """A picture as Pillow writes it."""
    sink = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(sink, kind, **options)
    return sink.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    """Upright RGB, by nothing but Pillow; no transparency."""
    with warnings.catch_warnings(action="ignore"):
        return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def seen(data: bytes) -> Sample:
    """What Pillow makes of it."""
    return Sample(data, by_pillow(data))


def three(grey: np.ndarray) -> np.ndarray:
    """Grey as RGB."""
    return np.repeat(grey[..., None], 3, -1)


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours as seen through their opacity, before a white wall."""
    share = alpha[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, rows: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG from its parts: rows as they are, each with its filter byte before it."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body + chunk(b"IEND", b"")


def deep_rows(array: np.ndarray) -> bytes:
    """Rows of a PNG of 16 bits."""
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)


def paletted(**options: object) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A PNG of 16 colours, their colours by pixel, and which of them each pixel has."""
    palette = RNG.integers(0, 256, (16, 3), dtype=np.uint8)
    which = RNG.integers(0, 16, (40, 56), dtype=np.uint8)
    image = Image.fromarray(which, "L").convert("P")
    image.putdata(which.ravel().tolist())
    image.putpalette(palette.tobytes())
    return file(image, "PNG", **options), palette[which], which


def animated(kind: str, **options: object) -> bytes:
    """Three frames, the first of them `NOISE` or what the format makes of it."""
    first, *rest = [Image.fromarray(frame) for frame in (NOISE, SOFT, NOISE[::-1].copy())]
    return file(first, kind, save_all=True, append_images=rest, duration=40, **options)


def top_down(bmp: bytes) -> bytes:
    """The same BMP, first row first: a negative height."""
    height = struct.unpack_from("<i", bmp, 22)[0]
    start = struct.unpack_from("<I", bmp, 10)[0]
    stride = (len(bmp) - start) // height
    rows = [bmp[start + i * stride : start + (i + 1) * stride] for i in range(height)]
    return bmp[:22] + struct.pack("<i", -height) + bmp[26:start] + b"".join(reversed(rows))


def without_adobe(jpeg: bytes) -> bytes:
    """A CMYK JPEG whose Adobe segment is cut out: its inks are not inverted."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + struct.unpack_from(">H", jpeg, at + 2)[0] :]


def restarts_damaged() -> bytes:
    """A JPEG with restart markers, one of which bears the wrong number."""
    data = bytearray(file(SOFT, "JPEG", quality=80, restart_marker_rows=1))
    at = data.index(b"\xff\xd1")
    data[at + 1] = 0xD5
    return bytes(data)


def with_precision(jpeg: bytes, bits: int) -> bytes:
    """A JPEG that says that its samples have so many bits."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 4] + bytes([bits]) + jpeg[at + 5 :]


def turned(kind: str, orientation: int) -> bytes:
    """A picture with a camera's note on how it was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file(SOFT, kind, exif=exif)


def profile() -> bytes:
    """A colour profile as files carry them."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _png() -> dict[str, Sample]:
    plain, colours, _ = paletted()
    faint, faint_colours, faint_which = paletted(transparency=bytes(range(0, 256, 16)))
    keyed = file(NOISE, "PNG", transparency=tuple(map(int, NOISE[5, 5])))
    visible = (NOISE[5, 5] != NOISE).any(-1)
    return {
        "PNG": Sample(file(NOISE, "PNG"), NOISE),
        "PNG, grey": Sample(file(GREY, "PNG"), three(GREY)),
        "PNG, one bit": Sample(file(Image.fromarray(GREY > 99), "PNG"), three((GREY > 99).astype(np.uint8) * 255)),
        "PNG, 16 bits of grey": Sample(file(DEEP[..., 0], "PNG"), three((DEEP[..., 0] >> 8).astype(np.uint8))),
        "PNG, 16 bits of RGB": Sample(png(56, 40, bits=16, rows=deep_rows(DEEP)), (DEEP >> 8).astype(np.uint8)),
        "PNG, palette": Sample(plain, colours),
        "PNG, faint palette": Sample(faint, on_white(faint_colours, faint_which * 16), 1),
        "PNG, RGBA": Sample(file(np.dstack([NOISE, ALPHA]), "PNG"), on_white(NOISE, ALPHA), 1),
        "PNG, LA": Sample(file(np.dstack([GREY, ALPHA]), "PNG"), on_white(three(GREY), ALPHA), 1),
        "PNG, one colour is clear": Sample(keyed, np.where(visible[..., None], NOISE, 255)),
        "PNG, moving": Sample(animated("PNG"), NOISE),
        "PNG, profile": Sample(file(NOISE, "PNG", icc_profile=profile()), NOISE),
        "PNG, broken profile": Sample(file(NOISE, "PNG", icc_profile=b"no profile" * 9), NOISE),
        "PNG, unknown chunk": Sample(png(1, 1, rows=b"\0\1\2\3", extra=chunk(b"woOt", b"?")), np.array([[[1, 2, 3]]])),
        "PNG and junk": Sample(file(NOISE, "PNG") + b"junk" * 999, NOISE),
        "PNG, 1 x 1": Sample(file(NOISE[:1, :1], "PNG"), NOISE[:1, :1]),
        "PNG, 1 x N": Sample(file(NOISE[:, :1], "PNG"), NOISE[:, :1]),
        "PNG, N x 1": Sample(file(NOISE[:1], "PNG"), NOISE[:1]),
    }


def _jpeg() -> dict[str, Sample]:
    plain, cmyk = file(SOFT, "JPEG", quality=95), Image.fromarray(SOFT).convert("CMYK")
    damaged_exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\1" * 99
    files = {
        "grey": file(Image.fromarray(SOFT).convert("L"), "JPEG"),
        "progressive": file(SOFT, "JPEG", progressive=True),
        "progressive, noise": file(NOISE, "JPEG", progressive=True, quality=20),
        "4:4:4": file(SOFT, "JPEG", subsampling=0),
        "4:2:2": file(SOFT, "JPEG", subsampling=1),
        "odd size": file(SOFT[:17, :13], "JPEG", subsampling=2),
        "kept as RGB": file(SOFT, "JPEG", keep_rgb=True),
        "inverted CMYK of Adobe": file(cmyk, "JPEG"),
        "CMYK": without_adobe(file(cmyk, "JPEG")),
        "CMYK, profile": file(cmyk, "JPEG", icc_profile=b"\0" * 36 + b"acsp" + b"CMYK" * 40),
        "profile": file(SOFT, "JPEG", icc_profile=profile()),
        "broken profile": file(SOFT, "JPEG", icc_profile=b"no profile"),
        "huge EXIF": file(SOFT, "JPEG", exif=b"Exif\0\0" + b"\xff" * 65_000),
        "broken EXIF": file(SOFT, "JPEG", exif=damaged_exif),
        "restart markers": file(SOFT, "JPEG", restart_marker_rows=1),
        "damaged restart marker": restarts_damaged(),
        "comment": file(SOFT, "JPEG", comment=b"\xff\x00" * 30_000),
        "junk behind": file(SOFT, "JPEG") + b"<?php echo 1; ?>" * 99,
        "another behind": file(SOFT, "JPEG") + file(NOISE, "JPEG"),
        "1 x 1": file(SOFT[:1, :1], "JPEG"),
        "several (MPO)": file(Image.fromarray(SOFT), "MPO", save_all=True, append_images=[Image.fromarray(NOISE)]),
    }
    near = {f"JPEG, {name}": seen(data) for name, data in files.items()}
    return near | {"JPEG": Sample(plain, SOFT, 8)}


def _others() -> dict[str, Sample]:
    rgba, first = np.dstack([NOISE, ALPHA]), Image.fromarray(NOISE)
    quantised = first.quantize(200)
    pages = file(first, "TIFF", save_all=True, append_images=[Image.fromarray(SOFT)])
    web = {"lossless": True, "exact": True}
    tiffs = {name: file(NOISE, "TIFF", compression=name) for name in ("raw", "packbits", "tiff_lzw", "tiff_deflate")}
    return {f"TIFF, {name}": Sample(data, NOISE) for name, data in tiffs.items()} | {
        "TIFF, several pages": Sample(pages, NOISE),
        "TIFF, 16 bits": Sample(file(DEEP[..., 0], "TIFF"), three((DEEP[..., 0] >> 8).astype(np.uint8))),
        "TIFF, big end first": Sample(file(NOISE, "TIFF", tiffinfo={}, big_tiff=True), NOISE),
        "TIFF, CMYK": seen(file(first.convert("CMYK"), "TIFF")),
        "TIFF, JPEG inside": seen(file(SOFT, "TIFF", compression="jpeg")),
        "TIFF, RGBA": Sample(file(rgba, "TIFF"), on_white(NOISE, ALPHA), 1),
        "BMP": Sample(file(NOISE, "BMP"), NOISE),
        "BMP, first row first": Sample(top_down(file(NOISE, "BMP")), NOISE),
        "BMP, grey": Sample(file(GREY, "BMP"), three(GREY)),
        "BMP, one bit": Sample(file(Image.fromarray(GREY > 99), "BMP"), three((GREY > 99).astype(np.uint8) * 255)),
        "BMP, palette": Sample(file(quantised, "BMP"), np.array(quantised.convert("RGB"))),
        "BMP, without its file header": Sample(file(NOISE, "DIB"), NOISE),
        "GIF": Sample(file(quantised, "GIF"), np.array(quantised.convert("RGB"))),
        "GIF, moving": seen(animated("GIF")),
        "GIF, looping": seen(animated("GIF", loop=0, disposal=2)),
        "WEBP, lossless": Sample(file(NOISE, "WEBP", **web), NOISE),
        "WEBP, lossless RGBA": Sample(file(rgba, "WEBP", **web), on_white(NOISE, ALPHA), 1),
        "WEBP, lossy": Sample(file(SOFT, "WEBP", quality=95), SOFT, 24),
        "WEBP, moving": Sample(animated("WEBP", lossless=True), NOISE),
        "ICO": Sample(file(NOISE[:32, :32], "ICO", sizes=[(32, 32)]), NOISE[:32, :32]),
        "PPM": Sample(file(NOISE, "PPM"), NOISE),
        "PGM, 16 bits": Sample(file(DEEP[..., 0], "PPM"), three((DEEP[..., 0] >> 8).astype(np.uint8))),
        "QOI": Sample(file(NOISE, "QOI"), NOISE),
        "JPEG 2000": Sample(file(NOISE, "JPEG2000"), NOISE),
        "AVIF": seen(file(SOFT, "AVIF")),
    }


TURNS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1, ::-1], lambda a: a[::-1], lambda a: a.swapaxes(0, 1),
    lambda a: np.rot90(a, -1), lambda a: a[::-1, ::-1].swapaxes(0, 1), np.rot90,
)  # fmt: skip


def _held() -> dict[str, Sample]:
    """Held in all eight ways."""
    whole = {kind: by_pillow(file(SOFT, kind)) for kind in ("JPEG", "PNG", "WEBP", "TIFF")}
    return {
        f"{kind}, held in way {way}": Sample(turned(kind, way), turn(whole[kind]))
        for kind in whole
        for way, turn in enumerate(TURNS, 1)
    }


GIF_BOMB = b"GIF89a%b\0\0\0,%b\0\2\2L\1\0;" % (b"\xff" * 4, bytes(4) + b"\xff" * 4)
SHOWN = _png() | _jpeg() | _others() | _held()
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", r"is empty \(0 bytes\)"),
    "zeros": (bytes(5000), "not a picture of any known format$"),
    "text": (b"a red circle\n" * 50, "not a picture of any known format$"),
    "a web page": (b"\n<!DOCTYPE html><title>404</title>", "but a web page, perhaps what a server said"),
    "another web page": (b"\xef\xbb\xbf<html><body>403</body></html>", "but a web page"),
    "SVG": (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "but SVG: save it as"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "but HEIC: save it as JPEG or PNG"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(99), "but a video"),
    "PDF": (b"%PDF-1.7\n", "but PDF"),
    "PostScript": (file(NOISE, "EPS"), "but PostScript: save it as PNG"),  # Pillow would run another program
    "zip": (b"PK\x03\x04" + bytes(99), "but an archive"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "Photoshop": (b"8BPS\0\1" + bytes(99), "but Photoshop's"),
    "TGA": (file(NOISE, "TGA"), "not a picture of any known format$"),
    "half a JPEG": (file(NOISE, "JPEG")[:900], "cannot be decoded: .*truncated"),
    "half a progressive JPEG": (file(NOISE, "JPEG", progressive=True)[:1500], "cannot be decoded: .*truncated"),
    "half a PNG": (file(NOISE, "PNG")[:2000], "cannot be decoded: .*truncated"),
    "half a TIFF": (file(NOISE, "TIFF")[:2000], "not a picture|cannot be decoded|cannot be opened"),
    "half a WEBP": (file(NOISE, "WEBP")[:700], "not a picture|cannot be decoded|cannot be opened"),
    "half a BMP": (file(NOISE, "BMP")[:2000], "cannot be decoded: .*truncated"),
    "half a GIF": (file(Image.fromarray(NOISE), "GIF")[:900], "cannot be decoded: .*truncated"),
    "a JPEG's first bytes": (b"\xff\xd8\xff", "not a picture"),
    "a PNG's first bytes": (b"\x89PNG\r\n\x1a\n", "not a picture|cannot be opened"),
    "12 bits": (with_precision(file(SOFT, "JPEG"), 12), "not a picture|cannot be opened"),
    "no pixels": (png(0, 9), "not a picture|pixels|cannot be opened"),
    "a bomb of PNG": (png(60_000, 60_000), "more than 178 million pixels"),
    "a bomb of GIF": (
        GIF_BOMB,
        "more than 178|pixels",
    ),
    "a bomb of BMP": (b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6), "178"),
    "no rows where 144 million pixels should be": (png(12_000, 12_000), "cannot be decoded"),
    "a bomb of text": (
        png(1, 1, rows=b"\0\1\2\3", extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 24)))),
        "cannot be opened|cannot be decoded|not a picture",
    ),
    "fractions": (file(DEEP[..., 0].astype(np.float32) / 65536, "TIFF"), "fractions, and nothing says which.* 8 bits"),
    "32 bits": (file(DEEP[..., 0].astype(np.int32) << 9, "TIFF"), "16 bits hold 0 to 65535"),
}
