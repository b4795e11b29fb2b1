"""Samples a second: our tars against webdataset's own loader, our decoding against transformers' Pillow processor.

    python bench/data.py                      # prints the table that docs/speed.md holds

The same tars for both, made here of photographs that ship inside scikit-image, as JPEG of about 500 pixels.
Both run on one thread and take turns; what counts is the processor's time, which a busy machine changes little,
and the median of the rounds. Outputs are compared before anything is timed.
"""

import argparse
import gzip
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import skimage
import torch
import webdataset
from PIL import Image
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.order import order
from chiasm.data.pairs import Pair
from chiasm.data.sources import open_source
from chiasm.data.sources.tars import TarSource
from chiasm.data.writers import write_tar

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "retina.jpg", "rocket.jpg")
SHARDS, ROWS, LONG = 4, 300, 500
DECODED = 80  # pictures of the rows that decode
OURS = ImageProcessor(Pixels(size=384, mean=CLIP_MEAN, std=CLIP_STD))
THEIRS = BlipImageProcessorPil()
Job = Callable[[], int]  # how many samples it went through


def main() -> None:
    """Make the tars, compare what comes out, take turns, print the table."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=5)
    ask.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    asked = ask.parse_args()
    torch.set_num_threads(1)
    if asked.memory:
        print(_memory(*asked.memory))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _make(folder)
        _compare(folder)
        _table(folder, asked.rounds)


def _make(folder: Path) -> None:
    """Photographs at several crops, so that no two files are equal."""
    home = Path(skimage.__file__).parent / "data"
    photographs = [Image.open(home / name).convert("RGB") for name in PHOTOGRAPHS]
    rng = np.random.default_rng(0)
    (folder / "gz").mkdir()
    for shard in range(SHARDS):
        pairs = [_pair(photographs, shard * ROWS + row, rng) for row in range(ROWS)]
        write_tar(pairs, folder / f"{shard:03d}.tar")
        packed = gzip.compress((folder / f"{shard:03d}.tar").read_bytes(), 1)
        (folder / "gz" / f"{shard:03d}.tar.gz").write_bytes(packed)


def _pair(photographs: list[Image.Image], row: int, rng: np.random.Generator) -> Pair:
    picture = photographs[row % len(photographs)]
    left, top = (int(rng.integers(0, side // 5 + 1)) for side in picture.size)
    picture = picture.crop((left, top, left + picture.width * 4 // 5, top + picture.height * 4 // 5))
    picture.thumbnail((LONG, LONG), Image.Resampling.BICUBIC)
    if max(picture.size) < LONG:
        picture = picture.resize([side * LONG // max(picture.size) for side in picture.size], Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=90)
    return Pair(f"p{row}", sink.getvalue(), f"photograph {row}", {"row": row})


def _shards(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.iterdir()) if path.is_file()]


def _theirs(folder: Path, *, shuffled: int = 0) -> Iterator[tuple[bytes, str]]:
    shards = webdataset.WebDataset(_shards(folder), shardshuffle=len(_shards(folder)) if shuffled else False, seed=0)
    for sample in shards.shuffle(shuffled) if shuffled else shards:
        yield sample["jpg"], sample["txt"].decode()


def _compare(folder: Path) -> None:
    """The same bytes and texts, every sample once; pixels as near as docs/data.md promises."""
    for place in (folder, folder / "gz"):
        source = open_source(place)
        ours = [(pair.image, pair.text) for pair in source]
        _agree("samples", ours == list(_theirs(place)))
        rows = order(source, 0, 0)
        shuffled = [(source[rows[i]].image, source[rows[i]].text) for i in range(len(rows))]
        _agree("every sample once", sorted(shuffled) == sorted(_theirs(place, shuffled=1000)) == sorted(ours))
    steps = torch.tensor(CLIP_STD).view(3, 1, 1) * 255
    far = torch.cat([((_ours(data) - _transformers(data)).abs() * steps).flatten() for data in _jpegs(folder)[:12]])
    share, most = (far.round() > 1).float().mean(), far.max()
    print(f"pixels: {share:.2e} differ by more than 1 of 255, the most by {most:.0f}\n")
    _agree("pixels", share.item() < 1e-3)


def _agree(what: str, same: bool) -> None:  # noqa: FBT001 the one thing that is said
    if not same:
        raise SystemExit(f"the two do not agree: {what}")


def _jpegs(folder: Path) -> list[bytes]:
    return [pair.image for pair, _ in zip(open_source(folder), range(DECODED), strict=False)]


def _ours(data: bytes) -> torch.Tensor:
    return OURS([data])[0]


def _transformers(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.asarray(THEIRS(Image.open(io.BytesIO(data)))["pixel_values"][0]))


def _jobs(folder: Path) -> dict[str, tuple[Job, Job]]:
    """What is timed: name -> ours, theirs."""
    plain, packed, jpegs = open_source(folder), open_source(folder / "gz"), _jpegs(folder)
    few = folder / "few"
    few.mkdir(exist_ok=True)
    write_tar([plain[row] for row in range(DECODED)], few / "000.tar")
    return {
        "open, look through, read in the files' order": (
            lambda: sum(1 for _ in open_source(folder)), lambda: sum(1 for _ in _theirs(folder)),
        ),
        "read in training order": (lambda: _read(plain), lambda: sum(1 for _ in _theirs(folder, shuffled=1000))),
        "the same from .tar.gz": (lambda: _read(packed), lambda: sum(1 for _ in _theirs(folder / "gz", shuffled=1000))),
        "JPEG to normalised 384 x 384, from memory": (
            lambda: sum(_ours(data).shape[0] // 3 for data in jpegs),
            lambda: sum(_transformers(data).shape[0] // 3 for data in jpegs),
        ),
        "tar to normalised 384 x 384": (
            lambda: sum(_ours(pair.image).shape[0] // 3 for pair in open_source(few)),
            lambda: sum(_transformers(data).shape[0] // 3 for data, _ in _theirs(few)),
        ),
    }  # fmt: skip


def _read(source: TarSource) -> int:
    rows = order(source, 0, 0)
    return sum(len(source[rows[place]].text) > 0 for place in range(len(rows)))


def _table(folder: Path, rounds: int) -> None:
    print("| samples a second of one core | chiasm | webdataset, transformers | ratio |", "|---|---|---|---|", sep="\n")
    for name, jobs in _jobs(folder).items():
        found: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for rates, job in zip(found, jobs, strict=True):
                start = time.process_time()
                count = job()
                rates.append(count / (time.process_time() - start))
        ours, theirs = map(statistics.median, found)
        print(f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} |")
    print("\n| memory of an epoch in training order, MB | chiasm | webdataset |", "|---|---|---|", sep="\n")
    for name, place in ((".tar", folder), (".tar.gz", folder / "gz")):
        told = [_asked(who, place) for who in ("ours", "theirs")]
        print(f"| {name} | {told[0]:.0f} | {told[1]:.0f} |")


def _asked(who: str, place: Path) -> float:
    """In a process of its own."""
    words = [sys.executable, __file__, "--memory", who, str(place)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ourselves


def _memory(who: str, place: str) -> float:
    """What an epoch adds to the peak."""
    before = _peak()
    _read(open_source(place)) if who == "ours" else sum(1 for _ in _theirs(Path(place), shuffled=1000))
    return _peak() - before


def _peak() -> float:
    """Megabytes; Linux alone tells it, and `getrusage` would tell that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
