"""Caption, then judge both texts: what CapFilt does to pictures (BLIP, arXiv:2201.12086, section 3.3).

        ┌─ captioner ─ synthetic texts ─┐
picture ┤                               ├─ filter ─ how well each text fits
        ├──────────────────── web text ─┘
        └─ size, sharpness, hash

A picture is decoded once, and what is wrong with a pair becomes the status of its row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import numpy as np

from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, Said, Status, seed_of, storable
from chiasm.core.ability import Captioner, Matcher, Picture, Truncates
from chiasm.core.errors import MediaError
from chiasm.core.results import Caption, Match
from chiasm.data.images import decode
from chiasm.data.pairs import Pair
from chiasm.data.quality import language, look
from chiasm.data.text import clean

Answer = TypeVar("Answer")
Loader = Callable[[str], Any]  # a model's name -> a Captioner, a Matcher, or both


class Models:
    """The captioner and the filter; one that plays both parts is loaded once."""

    def __init__(self, settings: Settings, load: Loader) -> None:
        captioner = load(settings.captioner)
        self.captioner: Captioner = captioner
        self.filter: Matcher = captioner if settings.filter == settings.captioner else load(settings.filter)
        if isinstance(self.filter, Truncates):
            self.filter.truncate = True  # web texts may have any length


def describe(pairs: Sequence[Pair], models: Models, settings: Settings) -> list[Row]:
    """One row for each pair, whatever is wrong with it; a picture is decoded once."""
    batch = _Batch(pairs, settings)
    batch.caption(models)
    batch.judge(models)
    return [batch.row(i) for i in range(len(pairs))]


class _Batch:
    """Pairs on their way to rows. A picture that turns out to be unreadable leaves; the others go on."""

    def __init__(self, pairs: Sequence[Pair], settings: Settings) -> None:
        self.settings = settings
        self.texts = settings.captions * len(settings.prompts)  # of a picture
        self.names = [pair.id for pair in pairs]
        self.rows = [Row.begin(pair, settings.seed) for pair in pairs]
        self.pictures: dict[int, np.ndarray] = {}
        self.said: dict[_Place, Said] = {}
        self.fits: dict[_Place, _Fit] = {}
        for i, pair in enumerate(pairs):
            self.read(i, pair)

    def read(self, i: int, pair: Pair) -> None:
        try:
            picture = decode(pair.image, index=i)
        except MediaError as error:
            self.drop(i, error)
            return
        if self.rows[i].status is Status.OK:  # what a person wrote is neither measured nor judged
            self.pictures[i] = picture
            told = language(pair.text) if self.settings.languages else ""
            self.rows[i] = replace(self.rows[i], **asdict(look(picture)), language=told)

    def drop(self, i: int, error: MediaError) -> None:
        self.pictures.pop(i, None)
        self.rows[i] = replace(self.rows[i], status=Status.DECODE_ERROR, error=storable(error.reason))

    def ask(
        self, places: Iterable["_Place"], verb: Callable[[list["_Place"], list[Picture]], Sequence[Answer]]
    ) -> Iterable[tuple["_Place", Answer]]:
        """Answers for those places whose pictures the model can read too; those of a picture stand together."""
        left = [*places]
        while left := [place for place in left if place.row in self.pictures]:
            try:
                answers = verb(left, [self.pictures[place.row] for place in left])
            except MediaError as error:
                self.drop(left[error.index].row, error)
            else:
                return list(zip(left, answers, strict=True))
        return []

    def caption(self, models: Models) -> None:
        how = self.settings
        places = [_Place(row, text) for row in self.pictures for text in range(self.texts)]
        prompts = {place: how.prompts[place.text % len(how.prompts)] for place in places}
        seeds = {place: seed_of(how.seed, self.names[place.row], place.text) for place in places}

        def say(asked: list[_Place], pictures: list[Picture]) -> Sequence[Caption]:
            return models.captioner.caption(
                pictures,
                prompt=[prompts[place] for place in asked],
                strategy=how.strategy,
                top_p=how.top_p,
                seed=[seeds[place] for place in asked],
                max_new_tokens=how.max_new_tokens,
            )

        for place, one in self.ask(places, say):
            self.said[place] = Said(
                text=storable(one.text), prompt=prompts[place], seed=seeds[place], logprob=one.logprob
            )

    def judge(self, models: Models) -> None:
        texts = {_Place(i, WEB): self.rows[i].web for i in self.pictures}
        texts |= {place: said.text for place, said in self.said.items()}

        def fit(places: list[_Place], pictures: list[Picture]) -> list[_Fit]:
            # a filter reads texts as it was trained on them
            return _fits(models.filter.match(pictures, [clean(texts[place]) for place in places]))

        self.fits = dict(self.ask(sorted(place for place, text in texts.items() if not wordless(text)), fit))

    def row(self, i: int) -> Row:
        """All that came of a pair."""
        web = self.fits.get(_Place(i, WEB), _Fit())
        synthetic = tuple(
            replace(self.said[place], **asdict(self.fits.get(place, _Fit())))
            for place in (_Place(i, text) for text in range(self.texts))
            if place in self.said
        )
        return _judged(replace(self.rows[i], web_itc=web.itc, web_itm=web.itm, synthetic=synthetic))


WEB = -1


class _Place(NamedTuple):
    """A text of a batch: the row, and which of its captions, or `WEB`, which stands before them."""

    row: int
    text: int


@dataclass(frozen=True)
class _Fit:
    itc: float | None = None
    itm: float | None = None


def _fits(match: Match) -> list[_Fit]:
    """Pair by pair; a head that the filter lacks says None for all."""
    itc = None if match.itc_cosine is None else match.itc_cosine.tolist()
    itm = None if match.itm_prob is None else match.itm_prob.tolist()
    rows = len(itc or itm or [])
    return [_Fit(*both) for both in zip(itc or [None] * rows, itm or [None] * rows, strict=True)]


def _judged(row: Row) -> Row:
    if row.status is not Status.OK:
        return row
    scores = [row.web_itc, row.web_itm, *(score for said in row.synthetic for score in (said.itc, said.itm))]
    if not all(score is None or isfinite(score) for score in scores):
        return replace(row, status=Status.SCORE_ERROR, error=f"the filter's scores are {scores}")
    if wordless(row.web):
        return replace(row, status=Status.EMPTY_TEXT)
    silent = all(wordless(said.text) for said in row.synthetic)
    return replace(row, status=Status.EMPTY_CAPTION) if silent else row


def wordless(text: str) -> bool:
    """Nothing that training would read: blanks, control characters, marks that cleaning drops."""
    return not clean(text)
