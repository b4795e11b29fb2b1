"""Which texts of a picture stay: the rows of BLIP's table 1 (arXiv:2201.12086)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from chiasm.bootstrap.manifest import Shard
from chiasm.bootstrap.sidecar import Row, Status
from chiasm.core.errors import AbilityError


class Keep(Enum):
    """Texts of one origin: none of them, those the filter finds fitting, all."""

    NONE = auto()
    MATCHED = auto()
    ALL = auto()


class Origin(Enum):
    """Who wrote a text; the value ends the id of its pair."""

    WEB = "web"
    SYNTHETIC = "syn"
    HUMAN = "human"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What stays of each origin; human pairs always do.

    The matching head decides, on web and synthetic text alike; the paper's filter keeps what it
    gives a probability of a half or more.
    """

    web: Keep
    synthetic: Keep
    threshold: float = 0.5

    def keeps(self, origin: Origin) -> Keep:
        """What stays of an origin."""
        return {Origin.WEB: self.web, Origin.SYNTHETIC: self.synthetic, Origin.HUMAN: Keep.ALL}[origin]


POLICIES: Mapping[str, Policy] = {
    "none": Policy(web=Keep.ALL, synthetic=Keep.NONE),
    "filter": Policy(web=Keep.MATCHED, synthetic=Keep.NONE),
    "captioner": Policy(web=Keep.ALL, synthetic=Keep.ALL),
    "both": Policy(web=Keep.MATCHED, synthetic=Keep.MATCHED),
}


@dataclass(frozen=True)
class Choice:
    """A text that stays with its picture, which is row `index` of the source."""

    index: int
    row: Row
    origin: Origin
    text: str
    itm: float | None


def choose(rows: Sequence[Row], shard: Shard, policy: Policy) -> Iterator[Choice]:
    """What stays of a shard's side-car, in order; web before synthetic."""
    for index, row in enumerate(rows, shard.start):
        for choice in _texts(index, row):
            if _stays(choice, policy):
                yield choice


def _texts(index: int, row: Row) -> Iterator[Choice]:
    """All there is to choose from: nothing of an unreadable picture, no empty text."""
    if row.status is Status.HUMAN:
        yield Choice(index, row, Origin.HUMAN, row.web, None)
    if row.status in (Status.OK, Status.EMPTY_CAPTION):
        yield Choice(index, row, Origin.WEB, row.web, row.web_itm)
    if row.status is Status.OK or (row.status is Status.EMPTY_TEXT and row.synthetic):
        yield Choice(index, row, Origin.SYNTHETIC, row.synthetic, row.synthetic_itm)


def _stays(choice: Choice, policy: Policy) -> bool:
    keep = policy.keeps(choice.origin)
    if keep is not Keep.MATCHED:
        return keep is Keep.ALL
    if choice.itm is None:
        raise AbilityError(
            "the filter of this run has no matching head, so no text has a probability to be kept by; "
            "run again with a filter that matches"
        )
    return choice.itm >= policy.threshold
