"""From rows of numbers to what there is to say: counts, spreads, histograms, groups of copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Shaped

from chiasm.data.duplicates import first_alike
from chiasm.inspection.survey import Kinds, Survey

SMALL = 64  # pixels of the shorter side
SOFT = 50.0  # the sharpness below which most pictures look out of focus
LONG = 3.0  # times longer than wide
FEW = 3  # words of a text that hardly describes
LEAST = {"width": 1, "height": 1, "aspect": 1 / 64, "bytes": 1, "sharpness": 1}  # where the first bin begins
WORDS = tuple(float(edge) for edge in range(0, 42, 2))
LETTERS = tuple(float(edge) for edge in range(0, 320, 20))


@dataclass(frozen=True)
class Histogram:
    """Counts between edges; the first bin and the last hold what lies beyond, too."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Spread:
    """How numbers lie."""

    low: float
    median: float
    high: float
    histogram: Histogram


@dataclass(frozen=True)
class Copies:
    """Groups of equals: how many groups, how many members, and how many are left out if one of each stays."""

    groups: int
    members: int
    spare: int


@dataclass(frozen=True)
class Reason:
    """How often something is wrong, and with what, for example."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """The pictures that can be read; a picture of several texts counts once."""

    files: int
    formats: Mapping[str, int]
    total_bytes: int
    spreads: Mapping[str, Spread]  # of width, height, aspect, bytes, sharpness
    small: int
    soft: int
    long: int
    equal: Copies
    near: Copies


@dataclass(frozen=True)
class Texts:
    """All texts, whether their pictures can be read or not."""

    letters: Spread
    words: Spread
    empty: int
    names: int
    short: int
    cut: int  # by training, which reads so many words
    equal: Copies
    languages: Mapping[str, int]  # "" where the words do not tell


@dataclass(frozen=True)
class Findings:
    """What an inspection found, ready for JSON."""

    source: str
    fingerprint: str
    pairs: int
    inspected: int
    left_out: Mapping[str, Reason]
    broken: Mapping[str, Reason]
    pictures: Pictures | None  # None where none can be read
    texts: Texts
    tags: Mapping[str, Mapping[str, int]]
    missing: str  # a package that could tell more; "" for none


@dataclass(frozen=True)
class Groups:
    """For each picture, the row of the first that equals it, and of the first near one that stays."""

    rows: Int64[np.ndarray, "n"]  # of the survey: the first text of each picture that can be read
    equal: Int64[np.ndarray, "n"]
    near: Int64[np.ndarray, "n"]


def groups(seen: Survey, *, within: int) -> Groups:
    """Who is a copy of whom."""
    readable = np.flatnonzero(seen.rows["readable"])
    rows = readable[np.sort(np.unique(seen.rows["file"][readable], return_index=True)[1])]
    equal = first_alike(seen.rows["pixels"][rows], within=0)
    return Groups(rows, rows[equal], rows[first_alike(seen.rows["hash"][rows], within=within)])


def pictures(seen: Survey, alike: Groups) -> Pictures | None:
    """What there is to say of the pictures."""
    if not len(alike.rows):
        return None
    rows = seen.rows[alike.rows]
    width, height = rows["width"].astype(np.float64), rows["height"].astype(np.float64)
    measures = {
        "width": width,
        "height": height,
        "aspect": width / height,
        "bytes": rows["bytes"].astype(np.float64),
        "sharpness": rows["blur"].astype(np.float64),
    }
    return Pictures(
        files=len(rows),
        formats=ranked(seen.formats),
        total_bytes=int(rows["bytes"].sum()),
        spreads={name: spread(values, powers(np.maximum(values, LEAST[name]))) for name, values in measures.items()},
        small=int((np.minimum(width, height) < SMALL).sum()),
        soft=int((rows["blur"] < SOFT).sum()),
        long=int((elongation(rows) > LONG).sum()),
        equal=copies(alike.equal),
        near=copies(alike.near),
    )


def texts(seen: Survey) -> Texts:
    """What there is to say of the texts."""
    rows = seen.rows
    letters, words = rows["letters"].astype(np.float64), rows["words"].astype(np.float64)
    return Texts(
        letters=spread(letters, LETTERS),
        words=spread(words, WORDS),
        empty=int(rows["empty"].sum()),
        names=int(rows["name"].sum()),
        short=int((~rows["empty"] & (words < FEW)).sum()),
        cut=int(rows["cut"].sum()),
        equal=copies(first_alike(rows["text"][~rows["empty"]], within=0)),
        languages=ranked(seen.languages),
    )


def copies(first: Shaped[np.ndarray, "n"]) -> Copies:
    """Count groups by the first member of each row's."""
    _, sizes = np.unique(first, return_counts=True)
    sizes = sizes[sizes > 1]
    return Copies(len(sizes), int(sizes.sum()), int(sizes.sum()) - len(sizes))


def elongation(rows: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """The longer side over the shorter one."""
    sides = np.stack([rows["width"], rows["height"]]).astype(np.float64)
    return sides.max(axis=0) / sides.min(axis=0)


def spread(values: Float[np.ndarray, "n"], edges: Sequence[float]) -> Spread:
    """Least, median, most, and how many lie between edges."""
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1).tolist()
    low, median, high = (float(np.quantile(values, share)) for share in (0.0, 0.5, 1.0)) if len(values) else (0.0,) * 3
    return Spread(low, median, high, Histogram(tuple(edges), tuple(counts)))


def powers(values: Float[np.ndarray, "n"]) -> list[float]:
    """Edges in steps of half a power of two, as far as the values reach."""
    low, high = (int(np.floor(np.log2(value))) for value in (values.min(), values.max()))
    return [2.0 ** (step / 2) for step in range(2 * low, 2 * high + 3)]


def ranked(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def reasons(kinds: Kinds) -> dict[str, Reason]:
    """What is wrong, the most frequent first."""
    return {name: Reason(count, tuple(kinds.examples[name])) for name, count in ranked(kinds.counts).items()}


def ranked_tags(tags: Mapping[str, Kinds]) -> dict[str, dict[str, int]]:
    """Each tag's values, the most frequent first."""
    return {name: ranked(kinds.counts) for name, kinds in sorted(tags.items())}
