"""An inspection as one page: what is worth a look first, then sizes, texts, copies and contact sheets."""

from collections.abc import Iterator, Mapping

from chiasm.inspection.findings import Copies, Findings, Pictures, Reason, Spread, Texts
from chiasm.inspection.points import points
from chiasm.inspection.sheets import Album, Sheet, short
from chiasm.inspection.words import UNKNOWN, bytes_, number
from chiasm.report.figures import distribution
from chiasm.report.markup import (
    Content,
    Html,
    Tone,
    callout,
    code,
    details,
    facts,
    figure,
    figures,
    heading,
    join,
    paragraph,
)  # fmt: skip
from chiasm.report.page import Section, lead, page
from chiasm.report.table import Column, Number, Table, html

LISTED = 10  # rows of a table of kinds
LABELS = {
    "width": "width, pixels",
    "height": "height, pixels",
    "aspect": "width / height",
    "bytes": "bytes of a file",
    "sharpness": "sharpness",
}
HEARD = {
    "sharpness": "The variance of the Laplacian of the grey picture, its longer side brought to 256 pixels. Below 50 "
    "most pictures look soft; plain ones do, too.",
    "aspect": "1 is a square, 2 twice as wide as high.",
}


def markup(found: Findings, album: Album) -> str:
    """The whole page; the same findings give the same bytes."""
    return page(
        "Look before you train",
        opening=[lead(_opening(found)), _numbers(found)],
        sections=[
            _points(found),
            _sheet(album.at_random()),
            *_pictures(found.pictures),
            _texts(found.texts, album, found.missing),
            *_copies(found.pictures, album),
            *map(_sheet, album.odd()),
            *_reasons("Pictures that cannot be read", found.broken),
            *_reasons("Left out by the source", found.left_out),
            *_tags(found.tags),
        ],
        footer=f"{found.source}, fingerprint {found.fingerprint}",
    )


def _opening(found: Findings) -> Html:
    drawn = "" if found.inspected == found.pairs else f", of which {found.inspected:,} were drawn at random"
    return join(f"{found.pairs:,} pairs in ", code(found.source), f"{drawn}.")


def _numbers(found: Findings) -> Html:
    cards = [("pairs were looked at", f"{found.inspected:,}")]
    if found.pictures:
        width, height = (found.pictures.spreads[name].median for name in ("width", "height"))
        cards += [
            ("pictures can be read", f"{found.pictures.files:,}"),
            ("pixels is the median size", f"{width:.0f}x{height:.0f}"),
            ("are all these pictures together", bytes_(found.pictures.total_bytes)),
        ]
    cards.append(("words has the median text", f"{found.texts.words.median:.0f}"))
    if known := [language for language in found.texts.languages if language]:
        cards.append(("is the most frequent language", known[0]))
    return facts(cards)


def _points(found: Findings) -> Section:
    told = points(found)
    if not told:
        return Section("Worth a look", [callout("Nothing stands out.", tone=Tone.GOOD)])
    columns = [Column("what"), Column("count"), Column("share")]
    return Section("Worth a look", [html(Table(columns, [[one.name, *_cells(one.count, one.of)] for one in told]))])


def _pictures(found: Pictures | None) -> Iterator[Section]:
    if found is None:
        yield Section("Pictures", [callout("No picture can be read.", tone=Tone.BAD)])
        return
    drawings = [
        figure(_drawn(found.spreads[name], label), HEARD.get(name, "On a scale of powers of two."))
        for name, label in LABELS.items()
    ]
    rows = [[LABELS[name], *map(number, (one.low, one.median, one.high))] for name, one in found.spreads.items()]
    spreads = Table([Column("measure"), Column("least"), Column("median"), Column("most")], rows)
    yield Section("Pictures", [html(spreads), figures(*drawings, _counted("format", found.formats))])


def _texts(found: Texts, album: Album, missing: str) -> Section:
    drawings = [
        figure(_drawn(found.words, "words of a text"), "Between blanks; Chinese and Japanese by characters."),
        figure(_drawn(found.letters, "characters of a text"), "The last bar holds all that are longer."),
    ]
    languages = {name or UNKNOWN: count for name, count in found.languages.items()}
    told = callout(missing) if missing else _counted("language", languages)
    repeated = album.repeated()
    rows = [[short(text), Number(float(count), f"{count:,}")] for text, count in repeated]
    table = html(
        Table([Column("text"), Column("pairs")], rows), "Texts that several pairs share, as training reads them"
    )
    return Section(
        "Texts", [figures(*drawings), told, *([details("The most repeated texts", table)] if repeated else [])]
    )


def _copies(found: Pictures | None, album: Album) -> Iterator[Section]:
    if found is None or not found.near.groups:
        return
    columns = [Column("pictures that"), Column("groups"), Column("pictures"), Column("could go")]
    kinds = {"are equal, pixel for pixel": found.equal, "are equal or resemble each other": found.near}
    table = html(Table(columns, [[name, *_copied(one)] for name, one in kinds.items()]))
    words = paragraph(
        "Pictures resemble each other when few bits of their hashes differ, which sees shapes and colours."
    )
    families = [
        part for sheet in album.families() for part in (heading(sheet.title), paragraph(sheet.about), sheet.cards)
    ]
    yield Section("Copies", [words, table, *families])


def _copied(copies: Copies) -> list[Number]:
    return [Number(float(count), f"{count:,}") for count in (copies.groups, copies.members, copies.spare)]


def _sheet(sheet: Sheet) -> Section:
    return Section(sheet.title, [paragraph(sheet.about), sheet.cards])


def _reasons(title: str, reasons: Mapping[str, Reason]) -> Iterator[Section]:
    if reasons:
        columns = [Column("reason"), Column("count"), Column("such as")]
        rows = [
            [name, Number(float(reason.count), f"{reason.count:,}"), short(", ".join(reason.examples))]
            for name, reason in reasons.items()
        ]
        yield Section(title, [html(Table(columns, rows))])


def _tags(tags: Mapping[str, Mapping[str, int]]) -> Iterator[Section]:
    if tags:
        yield Section("Tags", [_counted(name, counts) for name, counts in tags.items()])


def _counted(title: str, counts: Mapping[str, int]) -> Html:
    """The most frequent kinds; how many others there are is said."""
    total = sum(counts.values())
    rows = [[short(name) or "(empty)", *_cells(count, total)] for name, count in list(counts.items())[:LISTED]]
    left = len(counts) - LISTED
    caption = f"the {LISTED} most frequent; {left:,} others are not shown" if left > 0 else ""
    return html(Table([Column(title), Column("pairs"), Column("share")], rows), caption)


def _drawn(spread: Spread, label: str) -> Content:
    return distribution([number(edge) for edge in spread.histogram.edges], spread.histogram.counts, label=label)


def _cells(part: int, whole: int) -> list[Number]:
    return [Number(float(part), f"{part:,}"), Number(part / whole, f"{part / whole:.1%}")]
