"""A run as one page: what the filter kept and dropped, how sure it was, and where its heads disagree."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from chiasm.bootstrap.manifest import Opener
from chiasm.bootstrap.sidecar import Row
from chiasm.bootstrap.store import Store
from chiasm.bootstrap.tally import Example, Few, Judged, Tally, Verdicts
from chiasm.core.files import write_atomic
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.report.figures import histogram
from chiasm.report.markup import (
    Content,
    Html,
    Tone,
    badge,
    bullets,
    callout,
    code,
    element,
    facts,
    figure,
    figures,
    grid,
    join,
    paragraph,
)
from chiasm.report.page import Section, lead, page
from chiasm.report.table import Column, Number, Table, html
from chiasm.report.thumbnail import thumbnail

LONGEST = 240  # letters of a text that are shown
TITLES = {
    Verdicts(web=False, synthetic=True): "The web's text dropped, the synthetic one kept",
    Verdicts(web=True, synthetic=True): "Both kept: two pairs of one picture",
    Verdicts(web=True, synthetic=False): "The web's text kept, the synthetic one dropped",
    Verdicts(web=False, synthetic=False): "Both dropped: the picture leaves",
}


def report(folder: Path, *, threshold: float = 0.5, opened: Opener = open_source) -> Path:
    """Write `report.html` into a run folder, from the shards that are done; it opens offline."""
    store = Store(folder)
    source = store.manifest.open(opened)
    tally, shards = Tally(threshold), 0
    for shard, done in store.finished():
        shards += 1
        for index, row in enumerate(store.rows(shard, done), shard.start):
            tally.add(index, row)
    sections = [_filter(tally), *_noise(tally), *_examples(tally, source), *_disagreement(tally, source), _rows(tally)]
    markup = page(
        "What CapFilt made of it",
        opening=[lead(_opening(store)), *_unfinished(store, shards), _numbers(tally)],
        sections=sections,
        footer=f"{store.manifest.source}, fingerprint {store.manifest.fingerprint}",
    )
    path = folder / "report.html"
    write_atomic(path, markup.encode())
    return path


def _opening(store: Store) -> Html:
    settings = store.settings
    captions = settings["captions"] * len(settings["prompts"])
    wrote = "a caption" if captions == 1 else f"{captions} captions"
    return join(
        f"{store.manifest.rows:,} pairs: ", code(settings["captioner"]), f" wrote {wrote} for each picture ",
        f"({settings['strategy']}, p = {settings['top_p']}), ", code(settings["filter"]),
        " judged the web's text and its own.",
    )  # fmt: skip


def _unfinished(store: Store, done: int) -> Iterator[Html]:
    total = len(store.manifest.shards)
    if done < total:
        yield callout(f"{done:,} of {total:,} shards are done; the others are not in these numbers.", tone=Tone.BAD)


def _numbers(tally: Tally) -> Html:
    return facts([
        ("pictures looked at", f"{sum(tally.statuses.values()):,}"),
        ("of the web's texts are kept", _share(tally.web)),
        ("of the synthetic texts are kept", _share(tally.synthetic)),
        ("pairs come out, human ones not counted", f"{tally.web.kept + tally.synthetic.kept:,}"),
    ])  # fmt: skip


def _filter(tally: Tally) -> Section:
    judged = {"web": tally.web, "synthetic": tally.synthetic}
    if not any(sum(one.bins) for one in judged.values()):
        return Section("The filter", [callout("No text has a match probability: the filter has no matching head.")])
    drawing = histogram(
        {name: one.bins for name, one in judged.items()}, label="match probability", threshold=tally.threshold
    )
    columns = [Column("text"), Column("judged"), Column("kept"), Column("dropped"), Column("share kept")]
    rows = [[name, *_cells(one.kept, one.dropped)] for name, one in judged.items()]
    words = f"A text stays when the matching head gives it a probability of {tally.threshold:g} or more."
    return Section("The filter", [figures(figure(drawing, words), html(Table(columns, rows)))])


def _noise(tally: Tally) -> Iterator[Section]:
    """The web's texts by what is known to be wrong with them, where the source says."""
    if tally.noise:
        columns = [Column("noise"), Column("texts"), Column("kept"), Column("dropped"), Column("share kept")]
        rows = [[kind or "none", *_cells(one.kept, one.dropped)] for kind, one in sorted(tally.noise.items())]
        table = html(Table(columns, rows), "web texts by the kind of noise that the source names")
        yield Section("Noise", [paragraph("A perfect filter keeps all that has no noise, and nothing else."), table])


def _examples(tally: Tally, source: Source) -> Iterator[Section]:
    for verdicts, title in TITLES.items():
        if count := tally.verdicts[verdicts]:
            yield Section(title, [paragraph(f"{count:,} pictures."), _cards(tally.examples[verdicts], tally, source)])


def _disagreement(tally: Tally, source: Source) -> Iterator[Section]:
    for title, few in (
        ("Near by contrast, yet dropped", tally.near_but_dropped),
        ("Far by contrast, yet kept", tally.far_but_kept),
    ):
        if few.examples:
            words = "Web texts on which the contrastive and the matching head disagree most, by cosine."
            yield Section(title, [paragraph(words), _cards(few, tally, source)])


def _rows(tally: Tally) -> Section:
    total = sum(tally.statuses.values())
    counted = [[status.value, _count(n), _percent(n, total)] for status, n in sorted(tally.statuses.items())]
    table = html(Table([Column("status"), Column("rows"), Column("share")], counted))
    told = [join(code(one.row.id), ": ", short(one.row.error)) for one in tally.errors]
    return Section("How rows ended", [table, *([paragraph("The first that failed:"), bullets(*told)] if told else [])])


def _cards(examples: Iterable[Example] | Few, tally: Tally, source: Source) -> Html:
    return grid(*(_card(one.row, thumbnail(source[one.index]), tally.threshold) for one in examples))


def _card(row: Row, drawing: Content, threshold: float) -> Html:
    texts = [
        ("web", row.web, row.web_itm, row.web_itc),
        *(("synthetic", said.text, said.itm, said.itc) for said in row.synthetic),
    ]
    lines = [
        part
        for name, text, itm, itc in texts
        for part in (element("dt", name), element("dd", short(text), *badges(itm, itc, threshold)))
    ]
    return join(drawing, element("dl", *lines))


def badges(itm: float | None, itc: float | None, threshold: float) -> Iterator[Content]:
    """What the filter says of a text."""
    if itm is not None:
        kept = itm >= threshold
        yield badge(f"{'kept' if kept else 'dropped'} {itm:.2f}", Tone.GOOD if kept else Tone.BAD)
    if itc is not None:
        yield badge(f"cosine {itc:.2f}")


def _cells(kept: int, dropped: int) -> list[Number]:
    return [_count(kept + dropped), _count(kept), _count(dropped), _percent(kept, kept + dropped)]


def _count(number: int) -> Number:
    return Number(float(number), f"{number:,}")


def _percent(part: int, whole: int) -> Number:
    return Number(part / max(1, whole), f"{part / max(1, whole):.1%}")


def _share(judged: Judged) -> str:
    total = judged.kept + judged.dropped
    return f"{judged.kept / total:.0%}" if total else "none"


def short(text: str) -> str:
    """As much of a text as a card takes."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
