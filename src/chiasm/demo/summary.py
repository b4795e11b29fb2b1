"""From single runs to what can be said of them: means with their doubt, and whether the paper's order came out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from chiasm.demo.results import FOUR, Pairs, Row
from chiasm.evaluation.intervals import spread

TITLES = {"none": "no cleaning", "filter": "filter only", "captioner": "captioner only", "both": "captioner + filter"}


@dataclass(frozen=True)
class Measured:
    """A share and how far it could be off, and how that is to be written."""

    value: float
    low: float
    high: float
    remark: str


@dataclass(frozen=True)
class Verdict:
    """What became of one number from no cleaning to both: `clear` when the gain is more than its doubt."""

    number: str
    before: Measured
    after: Measured
    order: tuple[str, ...]  # worst first
    as_published: bool  # none, filter only, captioner only, both: each better than the one before
    clear: bool

    @property
    def gain(self) -> float:
        return self.after.value - self.before.value


def names(rows: Sequence[Row]) -> list[str]:
    """The models of the table, in the paper's order."""
    present = {row.name for row in rows}
    return [name for name in FOUR if name in present]


def seeds(rows: Sequence[Row]) -> list[int]:
    """With which seeds everything was done."""
    return sorted({row.seed for row in rows})


def tests(rows: Sequence[Row]) -> list[str]:
    """The test sets, in the order of the first row."""
    return list(dict.fromkeys(number.split("/")[0] for number in rows[0].metrics))


def numbers(rows: Sequence[Row], test: str) -> list[str]:
    """What was measured on a test set."""
    return [number.split("/")[1] for number in rows[0].metrics if number.startswith(f"{test}/")]


def measured(rows: Sequence[Row], name: str, number: str) -> Measured | None:
    """The mean over seeds and its spread; of a single seed, the interval over test pairs."""
    members = [row for row in rows if row.name == name and number in row.metrics]
    if not members:
        return None
    mean, deviation = spread([row.metrics[number] for row in members])
    if len(members) > 1:
        return Measured(mean, mean - deviation, mean + deviation, f"± {percent(deviation)}")
    if number not in members[0].intervals:
        return Measured(mean, mean, mean, "")
    low, high = members[0].intervals[number]
    return Measured(mean, low, high, f"{percent(low)} to {percent(high)}")


def pairs(rows: Sequence[Row], name: str) -> Pairs:
    """What a model was trained on, in the mean over seeds."""
    members = [row.pairs for row in rows if row.name == name]
    web, synthetic, human = (
        round(fmean(counts)) for counts in zip(*((one.web, one.synthetic, one.human) for one in members), strict=True)
    )
    return Pairs(web=web, synthetic=synthetic, human=human)


def noise_left(rows: Sequence[Row], name: str) -> float | None:
    """The share of wrong texts in a model's data, in the mean over seeds, where it is known."""
    shares = [row.noise_left for row in rows if row.name == name and row.noise_left is not None]
    return fmean(shares) if shares else None


def verdicts(rows: Sequence[Row], test: str) -> Iterator[Verdict]:
    """Retrieval and captions, as far as they were measured for all models of the table."""
    retrieval = next((number for number in ("itm_mean@1", "itc_mean@1") if number in numbers(rows, test)), None)
    for number in filter(None, (retrieval, "caption_exact")):
        found = {name: measured(rows, name, f"{test}/{number}") for name in FOUR}
        known = {name: value for name, value in found.items() if value is not None}
        if "none" in known and "both" in known:
            yield _verdict(number, known)


def percent(share: float) -> str:
    """A share as people read it, without the sign."""
    return f"{100 * share:.1f}"


def _verdict(number: str, known: Mapping[str, Measured]) -> Verdict:
    values = {name: one.value for name, one in known.items()}
    order = tuple(sorted(values, key=lambda name: values[name]))
    rising = order == FOUR and all(values[low] < values[high] for low, high in pairwise(order))
    before, after = known["none"], known["both"]
    return Verdict(number, before, after, order, as_published=rising, clear=after.low > before.high)
