"""What is worth a look before training, as sentences with a count: the page and the terminal say the same."""

from collections.abc import Iterator
from dataclasses import dataclass

from chiasm.inspection.findings import FEW, LONG, SMALL, SOFT, Findings


@dataclass(frozen=True)
class Point:
    """How many of how many are like this."""

    name: str
    count: int
    of: int


def points(found: Findings) -> list[Point]:
    """What there is at least one of."""
    return [point for point in _all(found) if point.count]


def _all(found: Findings) -> Iterator[Point]:
    left_out = sum(reason.count for reason in found.left_out.values())
    broken, texts = sum(reason.count for reason in found.broken.values()), found.texts
    yield Point("pairs that the source leaves out", left_out, found.pairs + left_out)
    yield Point("pictures that cannot be read", broken, found.inspected)
    if pictures := found.pictures:
        for name, count in (
            ("pictures that equal an earlier one", pictures.equal.spare),
            ("pictures that equal or resemble an earlier one", pictures.near.spare),
            (f"pictures with a side below {SMALL} pixels", pictures.small),
            (f"pictures that look soft (sharpness below {SOFT:g})", pictures.soft),
            (f"pictures more than {LONG:g} times longer than wide", pictures.long),
        ):
            yield Point(name, count, pictures.files)
    for name, count in (
        ("texts that say nothing", texts.empty),
        ("texts that are a file name or an address", texts.names),
        (f"texts of fewer than {FEW} words", texts.short),
        ("texts so long that training cuts them", texts.cut),
        ("texts that repeat an earlier one", texts.equal.spare),
    ):
        yield Point(name, count, found.inspected)
