"""What there is to tell of a run, gathered row by row: a billion rows take no more memory than ten."""

import json
from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from chiasm.bootstrap.sidecar import Row, Status

BINS = 25
SHOWN = 8  # examples of a kind


class Verdicts(NamedTuple):
    """Whether the filter keeps the web's text, and any of the synthetic ones."""

    web: bool
    synthetic: bool


@dataclass(frozen=True)
class Example:
    """A row worth showing; the smallest keys are shown."""

    key: int | float
    index: int
    row: Row


@dataclass
class Few:
    """The examples of smallest key."""

    examples: list[Example] = field(default_factory=list[Example])

    def offer(self, example: Example) -> None:
        """Keep it if it is among them."""
        insort(self.examples, example, key=lambda one: (one.key, one.index))
        del self.examples[SHOWN:]

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)


@dataclass
class Judged:
    """The texts of one origin: how probable their matches are, and how many stay."""

    bins: list[int] = field(default_factory=lambda: [0] * BINS)
    kept: int = 0
    dropped: int = 0

    def add(self, probability: float, *, keep: bool) -> None:
        self.bins[min(int(probability * BINS), BINS - 1)] += 1
        self.kept += keep
        self.dropped += not keep


@dataclass
class Tally:
    """Counts, histograms and examples at one threshold."""

    threshold: float
    statuses: Counter[Status] = field(default_factory=Counter[Status])
    web: Judged = field(default_factory=Judged)
    synthetic: Judged = field(default_factory=Judged)
    noise: dict[str, Judged] = field(default_factory=lambda: defaultdict(Judged))  # of web texts, by kind; "" is none
    verdicts: Counter[Verdicts] = field(default_factory=Counter[Verdicts])
    examples: dict[Verdicts, Few] = field(default_factory=lambda: defaultdict(Few))
    near_but_dropped: Few = field(
        default_factory=Few
    )  # the contrastive head likes a web text, the matching head does not
    far_but_kept: Few = field(default_factory=Few)
    errors: Few = field(default_factory=Few)

    def add(self, index: int, row: Row) -> None:
        """Take row `index` of the source in."""
        self.statuses[row.status] += 1
        if row.error:
            self.errors.offer(Example(index, index, row))
            return
        if row.web_itm is not None:
            self._web(index, row, row.web_itm)
        synthetic = [said.itm for said in row.synthetic if said.itm is not None]
        for probability in synthetic:
            self.synthetic.add(probability, keep=probability >= self.threshold)
        if row.web_itm is not None and synthetic:
            verdicts = Verdicts(row.web_itm >= self.threshold, max(synthetic) >= self.threshold)
            self.verdicts[verdicts] += 1
            self.examples[verdicts].offer(Example(row.seed, index, row))  # as good as at random

    def _web(self, index: int, row: Row, probability: float) -> None:
        keep = probability >= self.threshold
        self.web.add(probability, keep=keep)
        kind = json.loads(row.tags).get("noise")
        if kind is not None:
            self.noise[str(kind)].add(probability, keep=keep)
        if row.web_itc is not None:
            few, key = (self.far_but_kept, row.web_itc) if keep else (self.near_but_dropped, -row.web_itc)
            few.offer(Example(key, index, row))
