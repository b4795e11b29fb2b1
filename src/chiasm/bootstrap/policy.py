"""Which texts of a picture stay: the rows of BLIP's table 1 (arXiv:2201.12086)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from chiasm.bootstrap.describe import wordless
from chiasm.bootstrap.manifest import Shard
from chiasm.bootstrap.sidecar import Row, Status
from chiasm.bootstrap.standards import ANY, Standards
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


class Score(Enum):
    """Which head orders the texts of a picture; the value names it in a row."""

    ITC = "itc"  # cosine
    ITM = "itm"  # match probability


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What stays of each origin; human pairs always do.

    The matching head decides, on web and synthetic text alike; the paper's filter keeps what it
    gives a probability of a half or more. Of what it keeps, the `best` texts of a picture stay:
    BLIP-2 (arXiv:2301.12597) keeps two of ten captions and the web's text, by cosine.
    """

    web: Keep
    synthetic: Keep
    threshold: float = 0.5
    best: int = 0  # texts of a picture; 0: all
    by: Score = Score.ITM
    standards: Standards = ANY
    copies: Keep = Keep.ALL  # of pictures that look like another one: all of them, or none but that one

    def __post_init__(self) -> None:
        if self.best < 0:
            raise ValueError(f"best is a number of texts, or 0 for all, but is {self.best}")

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
    itc: float | None = None
    itm: float | None = None
    said: int = 0  # which of the synthetic texts it is

    @property
    def name(self) -> str:
        """The id of the pair: it says whose text it is, and which where there are several."""
        if self.origin is Origin.HUMAN:
            return self.row.id
        which = str(self.said) if self.origin is Origin.SYNTHETIC and len(self.row.synthetic) > 1 else ""
        return f"{self.row.id}#{self.origin.value}{which}"


def choose(rows: Sequence[Row], shard: Shard, policy: Policy) -> Iterator[Choice]:
    """What stays of a shard's side-car, in order; web before synthetic. Copies of pictures are not seen here."""
    for index, row in enumerate(rows, shard.start):
        if policy.standards.picture(row):
            yield from _best([choice for choice in _texts(index, row) if _stays(choice, policy)], policy)


def _texts(index: int, row: Row) -> Iterator[Choice]:
    """All there is to choose from: nothing of an unreadable picture, no empty text."""
    if row.status is Status.HUMAN:
        yield Choice(index, row, Origin.HUMAN, row.web)
    if row.status in (Status.OK, Status.EMPTY_CAPTION):
        yield Choice(index, row, Origin.WEB, row.web, row.web_itc, row.web_itm)
    if row.status in (Status.OK, Status.EMPTY_TEXT):
        for place, said in enumerate(row.synthetic):
            if not wordless(said.text):
                yield Choice(index, row, Origin.SYNTHETIC, said.text, said.itc, said.itm, place)


def _stays(choice: Choice, policy: Policy) -> bool:
    if choice.origin is Origin.WEB and not policy.standards.web(choice.row):
        return False
    keep = policy.keeps(choice.origin)
    return _score(choice, Score.ITM) >= policy.threshold if keep is Keep.MATCHED else keep is Keep.ALL


def _best(choices: list[Choice], policy: Policy) -> list[Choice]:
    """The best texts of one picture, in their old order; of equals, the first."""
    if not policy.best or len(choices) <= policy.best:
        return choices
    order = sorted(range(len(choices)), key=lambda place: -_score(choices[place], policy.by))
    return [choices[place] for place in sorted(order[: policy.best])]


def _score(choice: Choice, by: Score) -> float:
    score = {Score.ITC: choice.itc, Score.ITM: choice.itm}[by]
    if score is None:
        head = {Score.ITC: "contrastive", Score.ITM: "matching"}[by]
        raise AbilityError(
            f"the filter of this run has no {head} head, so no text has a score to be kept by; "
            "choose by the other one, or run again, into a new folder, with a filter that has it"
        )
    return score
