"""A folder with everything that can be wrong with pairs, and copies of known number."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter


def drawing(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Coloured boxes and some grain: sharp, and unlike any other seed's."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 160, (height, width, 3), dtype=np.uint8))
    for _ in range(6):
        x, y = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 20))
        box = (x, y, x + int(rng.integers(15, 60)), y + int(rng.integers(15, 60)))
        ImageDraw.Draw(image).rectangle(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


@pytest.fixture(scope="session")
def mess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine good pictures, ten copies, six broken files, and four pairs that the source leaves out."""
    folder = tmp_path_factory.mktemp("mess")
    files = {f"good{i}.png": encoded(drawing(i)) for i in range(9)}
    files |= {f"equal{i}.png": encoded(drawing(0)) for i in range(3)}  # good0 once more
    files |= {"equal.bmp": encoded(drawing(1), "BMP")}  # the pixels of good1 in another file
    files |= {f"near{i}.jpg": encoded(drawing(i), "JPEG") for i in range(4)}
    files |= {"near4.png": encoded(drawing(4).resize((240, 180))), "near5.webp": encoded(drawing(5), "WEBP")}
    files |= {"soft.png": encoded(drawing(20).filter(ImageFilter.GaussianBlur(9)))}
    files |= {"tiny.png": encoded(drawing(21, 24, 24)), "long.png": encoded(drawing(22, 400, 80))}
    files |= {f"cut{i}.png": encoded(drawing(i))[: 200 + 30 * i] for i in range(3)}
    files |= {"empty.png": b"", "page.jpg": b"<html></html>", "words.png": b"no picture"}
    for i, (name, data) in enumerate(files.items()):
        (folder / name).write_bytes(data)
        (folder / name).with_suffix(".txt").write_text(f"a picture of the number {i}", encoding="utf-8")
    for name, text in {
        "good0": "...!",
        "equal0": "~",
        "good1": "IMG_0001.jpg",
        "good2": "two words",
        "good3": "many words " * 30,
    }.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    for name in ("good4", "good5", "good6"):
        (folder / f"{name}.txt").write_text("der Hund spielt am Strand mit einem Ball", encoding="utf-8")
    (folder / "good7.txt").unlink()
    told = {"text": "<script>alert('x')</script>", "noise": "advert", "human": True, "shop": {"a": 1}, "words": [1]}
    (folder / "good7.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "no text.png").write_bytes(files["good8.png"])
    (folder / "no picture.txt").write_text("alone")
    for name, text in {"blank": b"  ", "latin": "café".encode("latin-1")}.items():
        (folder / f"{name}.png").write_bytes(files["good8.png"])
        (folder / f"{name}.txt").write_bytes(text)
    return folder
