"""How a training run went, from its `metrics.jsonl`."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Points = tuple[tuple[float, float], ...]


def read_curves(path: Path, *, points: int = 150) -> dict[str, Points]:
    """Each loss by its name, each validation metric as `validation NAME`, over the steps.

    A curve of more than `points` points is averaged over stretches of steps.
    """
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        step: Mapping[str, Any] = json.loads(line)
        for name, value in _named(step):
            curves[name].append((float(step["step"]), float(value)))
    return {name: thin(curve, points=points) for name, curve in curves.items()}


def thin(curve: Sequence[tuple[float, float]], *, points: int) -> Points:
    """At most `points` points, each the mean of neighbours."""
    if len(curve) <= points:
        return tuple(curve)
    cuts = [i * len(curve) // points for i in range(points + 1)]
    return tuple(_middle(curve[start:end]) for start, end in pairwise(cuts))


def _named(step: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    yield from step["losses"].items()
    for name, value in step["validation"].items():
        yield f"validation {name}", value


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
