"""Texts by lot for a person to judge: a page that shows them, and a sheet to be filled in.

side-cars ─ lot ─┬─ review.html    picture and text, numbered, in no order; what the filter said on a click
                 └─ review.csv     the same numbers; `right` is left to the person ─ agreement
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from pathlib import Path

from chiasm.bootstrap.manifest import Opener
from chiasm.bootstrap.report import badges, short
from chiasm.bootstrap.sidecar import Row, Status
from chiasm.bootstrap.store import Store
from chiasm.core.files import write_atomic
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.report.markup import Html, code, details, grid, join, paragraph, remarks, strong
from chiasm.report.page import Section, lead, page
from chiasm.report.thumbnail import thumbnail

COLUMNS = ("number", "decision", "of", "id", "text", "probability", "cosine", "right")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute rather than show


@dataclass(frozen=True)
class Drawn:
    """A text that the lot fell on; those of smallest key are drawn."""

    key: bytes
    index: int
    row: Row
    text: str
    itm: float | None
    itc: float | None


@dataclass
class Lot:
    """So many of each kind, whatever the order they come in and however many they are."""

    size: int
    seed: int
    counts: Counter[str] = field(default_factory=Counter[str])
    drawn: dict[str, list[Drawn]] = field(default_factory=lambda: defaultdict(list))

    def offer(self, kind: str, index: int, row: Row, text: tuple[str, float | None, float | None]) -> None:
        """Take a text of some kind in."""
        self.counts[kind] += 1
        name = f"{self.seed} {kind} {row.id} {text[0]}"
        drawn, one = self.drawn[kind], Drawn(hashlib.sha256(name.encode()).digest(), index, row, *text)
        if len(drawn) < self.size or one.key < drawn[-1].key:
            drawn[:] = nsmallest(self.size, [*drawn, one], key=lambda each: (each.key, each.index))


def review(
    folder: Path, out: Path, *, sample: int = 50, threshold: float = 0.5, seed: int = 0, opened: Opener = open_source
) -> Path:
    """Write `review.html` and `review.csv`: `sample` texts of each kind, web and synthetic, kept and dropped.

    Rows of each status that is not ok are shown too, without being asked about.
    """
    if sample < 1:
        raise ValueError(f"a sample needs at least 1 text of a kind, but is {sample}")
    sheet = out / "review.csv"
    if sheet.exists():
        raise ValueError(f"{sheet} is there already, and may hold a person's work; take another folder")
    store = Store(folder)
    lot = Lot(sample, seed)
    for shard, done in store.finished():
        for index, row in enumerate(store.rows(shard, done), shard.start):
            _offer(lot, index, row, threshold)
    asked = [(one, kind) for kind, drawn in lot.drawn.items() if " " in kind for one in drawn]
    asked.sort(key=lambda drawn: drawn[0].key)
    if not asked:
        raise ValueError(f"{folder} has no text with a match probability: there is nothing to be judged")
    write_atomic(out / "review.html", _page(store, asked, lot, threshold, opened).encode())
    write_atomic(sheet, _sheet(asked, lot).encode())
    return sheet


def _offer(lot: Lot, index: int, row: Row, threshold: float) -> None:
    if row.status is not Status.OK:
        lot.offer(row.status.value, index, row, (row.web, None, None))
    texts = [("web", row.web, row.web_itm, row.web_itc)]
    texts += [("synthetic", said.text, said.itm, said.itc) for said in row.synthetic]
    for origin, text, itm, itc in texts:
        if itm is not None and row.status is not Status.SCORE_ERROR:
            lot.offer(f"{'kept' if itm >= threshold else 'dropped'} {origin}", index, row, (text, itm, itc))


def _sheet(asked: list[tuple[Drawn, str]], lot: Lot) -> str:
    sink = io.StringIO()
    write = csv.writer(sink, lineterminator="\n")
    write.writerow(COLUMNS)
    for number, (one, kind) in enumerate(asked, 1):
        scores = (f"{score:.4f}" if score is not None else "" for score in (one.itm, one.itc))
        write.writerow([number, kind, lot.counts[kind], _shown(one.row.id), _shown(one.text), *scores, ""])
    return sink.getvalue()


def _shown(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _page(store: Store, asked: list[tuple[Drawn, str]], lot: Lot, threshold: float, opened: Opener) -> str:
    source = store.manifest.open(opened)
    cards = [_card(number, one, source, threshold) for number, (one, _) in enumerate(asked, 1)]
    others = [_others(status, drawn, lot, source) for status, drawn in sorted(lot.drawn.items()) if " " not in status]
    counted = ", ".join(f"{count:,} {kind}" for kind, count in sorted(lot.counts.items()) if " " in kind)
    return page(
        "Does the text fit the picture?",
        opening=[
            lead(f"{len(asked)} texts by lot, in no order, out of ", code(str(store.folder)), f": {counted}."),
            paragraph(
                "Judge each by the picture alone and write ", strong("yes"), " or ", strong("no"), " into the column ",
                code("right"), " of ", code("review.csv"), " at its number; leave empty what cannot be told. Then ",
                code("chiasm capfilt agreement review.csv"), " tells how well the filter agrees.",
            ),
        ],
        sections=[Section("The texts", [grid(*cards)]), *others],
        footer=f"{store.manifest.source}, fingerprint {store.manifest.fingerprint}, lot {lot.seed}",
    )  # fmt: skip


def _card(number: int, one: Drawn, source: Source, threshold: float) -> Html:
    said = details("the filter says", *badges(one.itm, one.itc, threshold))
    asked = [(f"number {number}", short(one.text)), ("does it fit?", "☐ yes ☐ no"), ("and then", said)]
    return join(thumbnail(source[one.index]), remarks(asked))


def _others(status: str, drawn: list[Drawn], lot: Lot, source: Source) -> Section:
    """Rows that ended otherwise, to be looked at."""

    def cards() -> Iterator[Html]:
        for one in drawn:
            yield join(thumbnail(source[one.index]), remarks([(one.row.id, short(one.row.error or one.text))]))

    return Section(f"Status {status}", [paragraph(f"{lot.counts[status]:,} rows."), grid(*cards())])
