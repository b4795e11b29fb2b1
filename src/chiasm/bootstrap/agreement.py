"""A filled `review.csv` read back: the filter as a classifier of texts, held against a person.

Each kind was drawn by itself, so its share of right texts stands for all texts of its kind: recall weighs
the kinds by how many they are.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chiasm.evaluation.intervals import of_shares

ANSWERS = {"yes": True, "y": True, "1": True, "true": True, "no": False, "n": False, "0": False, "false": False}
NEEDED = {"number", "decision", "of", "right"}


@dataclass(frozen=True)
class Share:
    """A share, and the interval that holds it in 95 of 100 such samples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a person says of the texts of one origin; None where too few kinds were judged to tell."""

    origin: str
    judged: int
    precision: Share | None  # of kept texts, how many are right
    recall: Share | None  # of right texts, how many are kept


@dataclass
class _Kind:
    """How many texts of a kind the run has, and how many were found right and wrong."""

    of: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def judged(self) -> int:
        return self.right + self.wrong


def agreement(sheet: Path) -> list[Agreement]:
    """For web and synthetic texts, as far as the sheet is filled."""
    kinds: dict[str, _Kind] = {}
    for row in _rows(sheet):
        kind = kinds.setdefault(row["decision"], _Kind(int(row["of"])))
        if told := row["right"].strip().lower():
            if told not in ANSWERS:
                raise ValueError(
                    f"number {row['number']} of {sheet} is answered by {told!r}; write yes or no, or nothing"
                )
            kind.right += ANSWERS[told]
            kind.wrong += not ANSWERS[told]
    if not any(kind.judged for kind in kinds.values()):
        raise ValueError(f"the column 'right' of {sheet} is empty: write yes or no at the numbers of review.html")
    origins = sorted({name.partition(" ")[2] for name in kinds}, reverse=True)
    return [_of(origin, kinds) for origin in origins]


def _rows(sheet: Path) -> Iterator[dict[str, str]]:
    """A spreadsheet may have put a mark at the beginning, or semicolons for commas."""
    text = sheet.read_text(encoding="utf-8-sig")
    header = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if header.count(";") > header.count(",") else ",")
    if missing := NEEDED - {*(rows.fieldnames or ())}:
        raise ValueError(f"{sheet} has no column {', '.join(sorted(missing))}: is it a review.csv?")
    for row in rows:
        yield {name: row[name] or "" for name in NEEDED}


def _of(origin: str, kinds: Mapping[str, _Kind]) -> Agreement:
    kept, dropped = (kinds.get(f"{decision} {origin}", _Kind()) for decision in ("kept", "dropped"))

    def recall(shares: Sequence[float]) -> float:
        found, missed = kept.of * shares[0], dropped.of * shares[1]
        return found / (found + missed) if found + missed else 1.0

    told = kept.judged and (dropped.judged or not dropped.of)
    return Agreement(
        origin=origin,
        judged=kept.judged + dropped.judged,
        precision=_share([kept], lambda shares: shares[0]) if kept.judged else None,
        recall=_share([kept, dropped], recall) if told else None,
    )


def _share(kinds: Sequence[_Kind], combine: Callable[[Sequence[float]], float]) -> Share:
    value = combine([kind.right / max(1, kind.judged) for kind in kinds])
    return Share(value, *of_shares([(kind.right, kind.judged) for kind in kinds], combine))
