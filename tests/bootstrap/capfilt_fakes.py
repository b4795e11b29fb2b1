"""A source and models that worker processes can import: everything follows from pixels, texts and seeds."""

import hashlib
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from chiasm.core.errors import AbilityError, MediaError
from chiasm.core.results import Caption, Match
from chiasm.data.pairs import Pair


def write_source(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def plain_rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"p{i}", "text": f"web text {i}"} for i in range(count)]


@dataclass
class LineSource:
    """A pair a line; the picture is drawn from the line's number unless `image` says otherwise."""

    path: Path

    def __post_init__(self) -> None:
        self.rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        self.fingerprint = hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Pair:
        row = self.rows[index]
        image = {"broken": b"not a picture", "missing": self.path.parent / "missing.jpg"}.get(row.get("image", ""))
        return Pair(row["id"], pixels(index) if image is None else image, row["text"], row.get("tags", {}))


def pixels(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (4, 5, 3), dtype=np.uint8)


def open_lines(where: str) -> LineSource:
    return LineSource(Path(where))


def share(*parts: Any) -> float:
    """A number in 0..1 that follows from the parts."""
    digest = hashlib.sha256("|".join(map(repr, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def raw(image: Any) -> bytes:
    return np.ascontiguousarray(image).tobytes()


class Model:
    """Captions and matches; some words in a web text make it misbehave."""

    def __init__(self, marker: Path | None = None, pause: float = 0.0, batches: list[int] | None = None) -> None:
        self.marker, self.pause, self.batches = marker, pause, batches if batches is not None else []

    def caption(
        self,
        images: Sequence[Any],
        *,
        prompt: Sequence[str],
        strategy: str,
        top_p: float,
        seed: Sequence[int],
        max_new_tokens: int,
    ) -> list[Caption]:
        time.sleep(self.pause)
        self.batches.append(len(images))
        return [
            Caption(
                f"caption {share(raw(image), begun, one, strategy, top_p, max_new_tokens):.6f}", -share(raw(image), one)
            )
            for image, begun, one in zip(images, prompt, seed, strict=True)
        ]

    def match(self, images: Sequence[Any], texts: Sequence[str]) -> Match:
        for i, text in enumerate(texts):
            self._misbehave(i, text)
        probability = torch.tensor(
            [float("nan") if text == "nan" else share(raw(x), text) for x, text in zip(images, texts, strict=True)]
        )
        return Match(2 * probability - 1, torch.stack([1 - probability, probability], 1).log(), probability)

    def _misbehave(self, i: int, text: str) -> None:
        if "unreadable" in text:
            raise MediaError(i, "somewhere", "the model cannot read it")
        if "raise" in text:
            raise RuntimeError("no good")
        if "mistake" in text:
            raise TypeError("a bug")
        if "unable" in text:
            raise AbilityError("this one cannot match")
        if "die always" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "die once" in text and self.marker and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Contrast:
    """A filter without a matching head."""

    def match(self, images: Sequence[Any], texts: Sequence[str]) -> Match:
        return Match(torch.tensor([share(raw(x), t) for x, t in zip(images, texts, strict=True)]), None, None)


def load(name: str) -> Any:
    """`model`, `contrast`, `slow`, `lethal`, `absent`, or `once:FILE`, which dies unless FILE exists."""
    kind, _, rest = name.partition(":")
    if kind == "absent":
        raise ValueError("there is no such model")
    if kind == "lethal":
        os._exit(7)
    if kind == "once":
        return Model(marker=Path(rest))
    return Contrast() if kind == "contrast" else Model(pause=0.3 if kind == "slow" else 0.0)
