"""Contact sheets: pictures with their texts, drawn at random, or because something about them is odd."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chiasm.data.pairs import Source
from chiasm.data.sources.chance import chance
from chiasm.inspection.findings import LONG, SMALL, SOFT, Groups, elongation
from chiasm.inspection.survey import Survey
from chiasm.report.markup import Content, Html, badge, code, element, grid, join, remarks
from chiasm.report.thumbnail import thumbnail

RANDOM, ODD = 24, 8  # pictures on a sheet
FAMILIES, MEMBERS = 8, 4  # groups of copies, and pictures of each
LONGEST = 240  # letters of a text that are shown


@dataclass(frozen=True)
class Sheet:
    """A title, what is to be seen, and the cards."""

    title: str
    about: str
    cards: Html


@dataclass(frozen=True)
class Album:
    """Draws sheets from what was surveyed; pictures are read again, a few at a time."""

    source: Source
    seen: Survey
    alike: Groups
    seed: int

    def at_random(self) -> Sheet:
        """Some pairs by lot, in the source's order."""
        places = range(len(self.seen.rows))
        drawn = sorted(chance("sheet", self.seed).sample(places, min(RANDOM, len(places))))
        return Sheet("A random sample", "Pairs by lot.", self._sheet(drawn, _size))

    def odd(self) -> Iterator[Sheet]:
        """The pictures that most want a look, where there are any."""
        rows = self.seen.rows[self.alike.rows]
        sides, length = np.minimum(rows["width"], rows["height"]), elongation(rows)
        for title, about, badness, limit, tell in (
            ("The softest", "Out of focus, enlarged, or almost plain.", -rows["blur"], -SOFT, _sharpness),
            ("The smallest", f"A side is below {SMALL} pixels.", -sides.astype(np.float64), -SMALL, _size),
            ("The longest", f"More than {LONG:g} times longer than wide.", length, LONG, _size),
        ):
            worst = np.argsort(-badness, kind="stable")[:ODD]
            if chosen := [int(self.alike.rows[place]) for place in worst if badness[place] > limit]:
                yield Sheet(title, about, self._sheet(chosen, tell))

    def families(self) -> Iterator[Sheet]:
        """The largest groups of pictures that resemble each other."""
        firsts, sizes = np.unique(self.alike.near, return_counts=True)
        for place in np.argsort(-sizes, kind="stable")[:FAMILIES]:
            if sizes[place] > 1:
                members = np.flatnonzero(self.alike.near == firsts[place])
                shown = self.alike.rows[members[:MEMBERS]].tolist()
                different = len(np.unique(self.alike.equal[members]))
                title = f"{sizes[place]:,} pictures alike"
                yield Sheet(title, f"Pixel by pixel they are {different:,} different ones.", self._sheet(shown, _size))

    def repeated(self) -> list[tuple[str, int]]:
        """The texts that most pairs share, and how many do."""
        rows = self.seen.rows[~self.seen.rows["empty"]]
        _, first, counts = np.unique(rows["text"], return_index=True, return_counts=True)
        often = np.lexsort((first, -counts))[:RANDOM]
        return [(self._text(rows[first[i]]), int(counts[i])) for i in often if counts[i] > 1]

    def _text(self, row: Any) -> str:
        return short(self.source[int(row["index"])].text)

    def _sheet(self, places: Sequence[int], tell: Callable[[Any], str]) -> Html:
        return grid(*(self._card(self.seen.rows[place], tell) for place in places))

    def _card(self, row: Any, tell: Callable[[Any], str]) -> Content:
        pair = self.source[int(row["index"])]
        told = [element("br"), badge(tell(row))] if row["readable"] else []
        return join(thumbnail(pair), remarks([("text", join(short(pair.text), *told)), ("id", code(short(pair.id)))]))


def short(text: str) -> str:
    """What fits on a card."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _size(row: Any) -> str:
    return f"{row['width']} x {row['height']}"


def _sharpness(row: Any) -> str:
    return f"sharpness {row['blur']:.0f}"
