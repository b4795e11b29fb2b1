"""Whatever people have on their disks: a picture, or one sentence that says what is wrong with it."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chiasm.core.errors import MediaError
from chiasm.core.types import Pixels
from chiasm.data.images import ImageProcessor, decode
from chiasm.data.text import Tokenizer, clean

RED, GREEN, WHITE = [255, 0, 0], [0, 255, 0], [255, 255, 255]
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises much and holds nothing."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 100))]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*parts, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


FULL = {kind: encoded(Image.fromarray(PICTURE), kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")}
BROKEN = {
    "nothing": (b"", r"is empty \(0 bytes\)"),
    "text": (b"no picture at all\n" * 20, "not a picture of any known format"),
    "page": (b"<!DOCTYPE html><title>404</title>", "not a picture of any known format"),
    "half a JPEG": (half(FULL["JPEG"]), "cannot be decoded: .*truncated"),
    "half a PNG": (half(FULL["PNG"]), "cannot be decoded: .*truncated"),
    "a JPEG's first bytes": (FULL["JPEG"][:3], "not a picture"),
    "no pixels": (png_header(0, 9), "not a picture|pixels|cannot be opened"),
    "bomb": (png_header(50_000, 50_000), "more than 178 million pixels"),
    "small bomb": (png_header(12_000, 12_000), "cannot be decoded"),  # Pillow would warn, and no more
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_is_named(name: str, tmp_path: Path) -> None:
    data, reason = BROKEN[name]
    path = tmp_path / "some.jpg"
    path.write_bytes(data)
    for form, called in ((path, str(path)), (str(path), str(path)), (data, "bytes")):
        with pytest.raises(MediaError, match=reason) as told:
            decode(form, index=7)
        assert (told.value.index, told.value.path) == (7, called)
        assert "\n" not in str(told.value)


def test_a_broken_picture_opened_by_pillow(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(half(FULL["PNG"]))
    with Image.open(path) as image, pytest.raises(MediaError, match="truncated"):
        decode(image)


def test_no_such_file(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "no.jpg", "No such file"), (tmp_path, "Is a directory"), (tmp_path / ("x" * 300), "name too long"),
        ("a\0b.jpg", "null"), ("https://a.b/c.jpg", "No such file"), ("", "Is a directory"),
    ):  # fmt: skip
        with pytest.raises(MediaError, match=reason):
            decode(path)


@pytest.mark.parametrize("kind", FULL)
def test_damage_anywhere_never_escapes(kind: str) -> None:
    rng = np.random.default_rng(1)
    whole, failed = np.frombuffer(FULL[kind], np.uint8), 0
    for _ in range(150):
        data = whole.copy()[: rng.integers(1, len(whole) + 1)]
        data[rng.integers(0, len(data), 8)] = rng.integers(0, 256, 8)
        try:
            assert decode(data.tobytes()).dtype == np.uint8
        except MediaError:
            failed += 1
    assert failed > 20


@pytest.mark.parametrize("kind", FULL)
def test_a_mislabelled_picture_is_what_it_is(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(FULL[kind])
    assert np.array_equal(decode(path), np.array(Image.open(io.BytesIO(FULL[kind])).convert("RGB")))


def test_one_pixel() -> None:
    data = encoded(Image.new("RGB", (1, 1), "red"), "PNG")
    assert decode(data).tolist() == [[RED]]
    square = ImageProcessor(Pixels(size=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))([data])
    assert torch.equal(square, torch.tensor(RED).view(1, 3, 1, 1).expand(1, 3, 8, 8) / 255)


def test_transparency_lies_on_white() -> None:
    clear = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    clear.putpixel((1, 0), (0, 255, 0, 0))
    assert decode(encoded(clear, "PNG")).tolist() == [[RED, WHITE]]
    assert decode(clear).tolist() == [[RED, WHITE]]
    grey = Image.new("LA", (1, 1), (0, 128))
    assert decode(encoded(grey, "PNG")).tolist() == [[[127] * 3]]
    keyed = encoded(Image.fromarray(np.array([[RED, GREEN]], np.uint8)), "PNG", transparency=(0, 255, 0))
    assert decode(keyed).tolist() == [[RED, WHITE]]


def test_palettes() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    assert decode(encoded(image, "PNG")).tolist() == [[RED, GREEN]]
    assert decode(encoded(image, "PNG", transparency=bytes([255, 0]))).tolist() == [[RED, WHITE]]
    assert decode(encoded(image, "PNG", transparency=1)).tolist() == [[RED, WHITE]]
    assert decode(encoded(image, "GIF", transparency=1)).tolist() == [[RED, WHITE]]


def test_other_colours() -> None:
    assert decode(encoded(Image.new("L", (1, 1), 77), "PNG")).tolist() == [[[77] * 3]]
    assert decode(encoded(Image.new("1", (1, 1), 1), "PNG")).tolist() == [[WHITE]]
    cmyk = encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG")
    assert np.array_equal(decode(cmyk), np.array(Image.open(io.BytesIO(cmyk)).convert("RGB")))
    assert np.abs(decode(cmyk).mean() - PICTURE.mean()) < 5


def test_sixteen_bits_are_scaled() -> None:
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(decode(encoded(Image.fromarray(ramp), kind))[..., 1], ramp >> 8)
    assert decode(Image.fromarray(ramp.astype(np.int32)))[15, 15].tolist() == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_stand_upright(orientation: int, kind: str) -> None:
    turns = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90,
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = np.array(Image.open(io.BytesIO(encoded(Image.fromarray(PICTURE), kind))))
    turned = encoded(Image.fromarray(PICTURE), kind, exif=exif)
    assert np.array_equal(decode(turned), turns[orientation](plain))
    assert np.array_equal(decode(Image.open(io.BytesIO(turned))), turns[orientation](plain))


def test_nonsense_in_exif_does_no_harm() -> None:
    data = encoded(Image.fromarray(PICTURE), "JPEG", exif=b"Exif\0\0nonsense")
    assert decode(data).shape == PICTURE.shape


def test_an_animation_shows_its_first_picture() -> None:
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).tolist() == [[RED] * 3] * 2


TEXTS = [
    "", " \t\n", "!!! ... ***", "\0\x01\x1b[31m", "a\0b", "\ud800", "x\udfff y", "\u202egnp.exe", "\u200b\ufeff",
    "日本語の説明", "صورة حمراء", "🚒👩🏽‍🚒", "e\u0301", "İI", "ﬁ ½ ²", "a" * 100_000, "word " * 20_000,
    "[SEP] [CLS] [PAD] [DEC]", "<script>alert(1)</script>", "it's a - b",
]  # fmt: skip


@cache
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    return Tokenizer.builtin(), Tokenizer.train(TEXTS, vocab=400)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:12]))
def test_any_text_becomes_tokens(text: str) -> None:
    for tokenizer in tokenizers():
        marks = tokenizer.markers
        for words in (text, clean(text)):
            found = tokenizer.encode([words, "a red circle"], max_length=16)
            ids = found.ids[0][found.mask[0]].tolist()
            assert ids[0] == marks.cls
            assert ids[-1] == marks.sep
            assert len(ids) <= 16
            assert not {marks.cls, marks.sep, marks.pad, marks.dec} & set(ids[1:-1])
            assert isinstance(tokenizer.decode(ids), str)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:12]))
def test_clean_texts_are_short_and_printable(text: str) -> None:
    words = clean(text)
    assert len(words.split()) <= 30
    assert clean(words) == words
    words.encode()
    assert not {c for c in words if ord(c) < 32 or c in '.!"()*#:;~\u200b\u202e'}


def test_texts_of_nothing_are_empty() -> None:
    assert [clean(text) for text in ("", " \t\n", "!!! ... ***", "\u200b\ufeff", "\0")] == [""] * 5
