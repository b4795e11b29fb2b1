"""Caption, then judge both texts: what CapFilt does to pictures (BLIP, arXiv:2201.12086, section 3.3).

        ┌─ captioner ─ synthetic text ─┐
picture ┤                              ├─ filter ─ how well each text fits
        └─────────────────── web text ─┘

A picture is decoded once, and what is wrong with a pair becomes the status of its row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeVar

from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, Status, storable
from chiasm.core.ability import Captioner, Matcher, Picture
from chiasm.core.errors import MediaError
from chiasm.core.results import Match
from chiasm.data.images import decode
from chiasm.data.pairs import Pair
from chiasm.data.text import clean

Answer = TypeVar("Answer")
Loader = Callable[[str], Any]  # a model's name -> a Captioner, a Matcher, or both


class Models:
    """The captioner and the filter; one that plays both parts is loaded once."""

    def __init__(self, settings: Settings, load: Loader) -> None:
        captioner = load(settings.captioner)
        self.captioner: Captioner = captioner
        self.filter: Matcher = captioner if settings.filter == settings.captioner else load(settings.filter)


def describe(pairs: Sequence[Pair], models: Models, settings: Settings) -> list[Row]:
    """One row for each pair, whatever is wrong with it; a picture is decoded once."""
    batch = _Batch(pairs, settings.seed)
    batch.caption(models, settings)
    batch.judge(models)
    return [_judged(row) for row in batch.rows]


class _Batch:
    """Pairs on their way to rows. A picture that turns out to be unreadable leaves; the others go on."""

    def __init__(self, pairs: Sequence[Pair], seed: int) -> None:
        self.rows = [Row.begin(pair, seed) for pair in pairs]
        self.pictures: dict[int, Picture] = {}
        for i, pair in enumerate(pairs):
            if self.rows[i].status is Status.OK:
                self.read(i, pair)

    def read(self, i: int, pair: Pair) -> None:
        try:
            self.pictures[i] = decode(pair.image, index=i)
        except MediaError as error:
            self.drop(i, error)

    def drop(self, i: int, error: MediaError) -> None:
        self.pictures.pop(i, None)
        self.rows[i] = replace(self.rows[i], status=Status.DECODE_ERROR, error=storable(error.reason))

    def ask(self, rows: Iterable[int], verb: Callable[[list[int]], Sequence[Answer]]) -> Iterable[tuple[int, Answer]]:
        """Answers for those rows whose pictures the model can read too."""
        left = [i for i in rows if i in self.pictures]
        while left:
            try:
                return list(zip(left, verb(left), strict=True))
            except MediaError as error:
                self.drop(left.pop(error.index), error)
        return []

    def caption(self, models: Models, settings: Settings) -> None:
        said = self.ask(
            self.pictures,
            lambda rows: models.captioner.caption(
                [self.pictures[i] for i in rows],
                strategy=settings.strategy,
                top_p=settings.top_p,
                seed=[self.rows[i].seed for i in rows],
                max_new_tokens=settings.max_new_tokens,
            ),
        )
        for i, caption in said:
            self.rows[i] = replace(self.rows[i], synthetic=storable(caption.text), logprob=caption.logprob)

    def judge(self, models: Models) -> None:
        for i, fit in self._fits(models, {i: row.web for i, row in enumerate(self.rows)}):
            self.rows[i] = replace(self.rows[i], web_itc=fit.itc, web_itm=fit.itm)
        for i, fit in self._fits(models, {i: row.synthetic for i, row in enumerate(self.rows)}):
            self.rows[i] = replace(self.rows[i], synthetic_itc=fit.itc, synthetic_itm=fit.itm)

    def _fits(self, models: Models, texts: dict[int, str]) -> Iterable[tuple[int, "_Fit"]]:
        return self.ask(
            [i for i, text in texts.items() if not wordless(text)],
            # a filter reads texts as it was trained on them
            lambda rows: _fits(models.filter.match([self.pictures[i] for i in rows], [clean(texts[i]) for i in rows])),
        )


@dataclass(frozen=True)
class _Fit:
    itc: float | None
    itm: float | None


def _fits(match: Match) -> list[_Fit]:
    """Pair by pair; a head that the filter lacks says None for all."""
    itc = None if match.itc_cosine is None else match.itc_cosine.tolist()
    itm = None if match.itm_prob is None else match.itm_prob.tolist()
    rows = len(itc or itm or [])
    return [_Fit(*both) for both in zip(itc or [None] * rows, itm or [None] * rows, strict=True)]


def _judged(row: Row) -> Row:
    if row.status is not Status.OK:
        return row
    scores = (row.web_itc, row.web_itm, row.synthetic_itc, row.synthetic_itm)
    if not all(score is None or isfinite(score) for score in scores):
        return replace(row, status=Status.SCORE_ERROR, error=f"the filter's scores are {scores}")
    if wordless(row.web):
        return replace(row, status=Status.EMPTY_TEXT)
    return replace(row, status=Status.EMPTY_CAPTION) if wordless(row.synthetic) else row


def wordless(text: str) -> bool:
    """Nothing that training would read: blanks, control characters, marks that cleaning drops."""
    return not clean(text)
