"""A hundred thousand shards, planned and resumed: seconds and memory, with models that do nothing.

    python bench/shards.py                     # prints the table that docs/capfilt.md holds

A shard is one pair, so that all time is the bookkeeping's. Each row runs in a process of its own; its memory is
the most it ever held, less what Python and the libraries take before they begin.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chiasm.bootstrap.manifest import WHOLE, Part, plan
from chiasm.bootstrap.pinned import encode
from chiasm.bootstrap.run import begin, retry, run
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, encode_rows
from chiasm.bootstrap.store import Done, Store
from chiasm.core.results import Caption, Match
from chiasm.data.pairs import Pair

SETTINGS = Settings(captioner="fake", filter="fake")
LEFT = 5  # shards that are not done when the run is resumed
PIXELS = np.zeros((8, 8, 3), np.uint8)


@dataclass(frozen=True)
class Many:
    """As many pairs as wanted, all of one picture."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        return Pair(f"pair-{index}", PIXELS, f"text {index}")

    @property
    def fingerprint(self) -> str:
        return f"many-{self.count}"


Work = Callable[[Path, Many], Any]


class Fake:
    """Captions and judges, without looking."""

    def caption(self, images: Sequence[Any], **_: Any) -> list[Caption]:
        """The same of everything."""
        return [Caption("a thing", -1.0) for _ in images]

    def match(self, images: Sequence[Any], _: Sequence[str]) -> Match:
        """Nobody knows."""
        return Match(None, None, torch.full((len(images),), 0.5))


def main() -> None:
    """Each row in a process of its own."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--shards", type=int, default=100_000)
    ask.add_argument("--row", nargs=2)
    asked = ask.parse_args()
    if asked.row:
        name, folder = asked.row
        print(json.dumps(measure(ROWS[name], Path(folder), asked.shards)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        print(f"| {asked.shards:,} shards | seconds | of a processor | MB |", "|---|---|---|---|", sep="\n")
        for name in ROWS:
            words = [sys.executable, __file__, "--shards", str(asked.shards), "--row", name, str(folder)]
            said = subprocess.run(words, stdout=subprocess.PIPE, check=True)  # noqa: S603 - ourselves
            row = json.loads(said.stdout)
            print(f"| {name} | {row['seconds']:.1f} | {row['busy']:.1f} | {row['memory']:.0f} |", flush=True)
            if name == "plan":
                most(folder)


def measure(work: Work, folder: Path, shards: int) -> dict[str, float]:
    """The wall and processor time of a piece of work, and how much the most memory ever held has grown by it."""
    before, start, idle = peak(), time.perf_counter(), time.process_time()
    work(folder, Many(shards))
    return {
        "seconds": time.perf_counter() - start,
        "busy": time.process_time() - idle,
        "memory": peak() - before,
    }


def peak() -> float:
    """Megabytes; Linux counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def most(folder: Path) -> None:
    """All shards done but a few, as `run` would leave them, but without waiting for the disk each time."""
    begin(folder, SETTINGS)
    store = Store(folder)
    row = Row(id="a", web="b", tags="{}", seed=0)
    data = encode_rows([row], SETTINGS)
    for shard in store.shards[:-LEFT]:
        done = Done(
            shard=shard.id,
            start=shard.start,
            stop=shard.stop,
            fingerprint=shard.fingerprint,
            settings=store.fingerprint,
            statuses={"ok": 1},
            sha256=hashlib.sha256(data).hexdigest(),
        )
        (folder / f"{shard.name}.parquet").write_bytes(data)
        (folder / f"{shard.name}.done").write_bytes(encode(asdict(done)))


def resume(folder: Path, many: Many, part: Part = WHOLE) -> None:
    """Whatever is left."""
    run(folder, SETTINGS, load=lambda _: Fake(), opened=lambda _: many, part=part)


ROWS: dict[str, Work] = {
    "plan": lambda folder, many: plan("many", folder, shard_size=1, opened=lambda _: many),
    "run, one job of a hundred": lambda folder, many: resume(folder, many, Part(0, 100)),
    "run, the last 5 shards": resume,
    "run, nothing left": resume,
    "open all of one status again": lambda folder, _: retry(folder, "decode_error"),
}


if __name__ == "__main__":
    main()
