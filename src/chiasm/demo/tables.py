"""The tables of the report, which are also those of the documents: BLIP's table 1 and its kin."""

from collections.abc import Sequence

from chiasm.demo import summary
from chiasm.demo.results import Ablation, FilterQuality, Row
from chiasm.demo.summary import percent
from chiasm.evaluation.intervals import spread
from chiasm.report.table import Better, Cell, Column, Number, Table

MAIN = ("itc_tr@1", "itc_ir@1", "itm_tr@1", "itm_ir@1", "itm_mean@1", "caption_exact")
HEADS = {"itc": "by cosine (ITC)", "itm": "re-ranked (ITC + ITM)"}
SIDES = {"tr": "text", "ir": "image", "mean": "mean"}
PUBLISHED = {
    "none": ("78.4", "60.7", "127.8"),
    "filter": ("79.1", "61.5", "128.2"),
    "captioner": ("79.7", "62.0", "128.9"),
    "both": ("80.6", "63.1", "129.7"),
}  # arXiv:2201.12086, table 1: 14M pictures, ViT-B for all, fine-tuned on COCO
DATA = (Column("texts: web + new + human", "training data"), Column("wrong, %", "training data", Better.LOWER))
NOISE = {
    "": "right",
    "swap": "another picture's text",
    "attribute": "one wrong word",
    "file": "a file name",
    "advert": "an advert",
    "topic": "off topic",
}


def capfilt(rows: Sequence[Row], test: str) -> Table:
    """BLIP's table 1 on one test set: what the data was, R@1, exact captions."""
    return _models(rows, test, [number for number in MAIN if number in summary.numbers(rows, test)], data=True)


def more(rows: Sequence[Row], test: str) -> dict[str, Table]:
    """What table 1 leaves out, each under a title: all recalls of both heads, and captions by attribute."""
    known = summary.numbers(rows, test)
    found: dict[str, Table] = {}
    for head, title in HEADS.items():
        wanted = [f"{head}_{side}@{k}" for side in ("tr", "ir") for k in (1, 5, 10) if f"{head}_{side}@{k}" in known]
        if wanted:
            found[f"R@1, R@5 and R@10 {title}"] = _models(rows, test, wanted, data=False)
    wanted = [number for number in known if number.startswith("caption_")]
    if len(wanted) > 1:
        found["Captions, each attribute apart"] = _models(rows, test, wanted, data=False)
    return found


def published() -> Table:
    """What the paper has in this place."""
    columns = [Column(title, "COCO", Better.HIGHER) for title in ("text R@1", "image R@1", "CIDEr")]
    rows = [[summary.TITLES[name], *(Number(float(text), text) for text in PUBLISHED[name])] for name in PUBLISHED]
    return Table([Column("cleaning"), *columns], rows)


def kinds(filters: Sequence[FilterQuality]) -> Table:
    """What the filter made of each kind of web text, over all seeds."""
    rows: list[list[Cell]] = []
    for kind in dict.fromkeys(kind for quality in filters for kind in sorted(quality.kinds)):
        members = [quality.kinds[kind] for quality in filters if kind in quality.kinds]
        total, kept = sum(one.total for one in members), sum(one.kept for one in members)
        rows.append([NOISE.get(kind, kind), f"{total:,}", f"{kept:,}", _share(kept / max(total, 1))])
    return Table([Column("web text"), Column("texts"), Column("kept"), Column("kept, %")], rows)


def decisions(filters: Sequence[FilterQuality]) -> Table:
    """Precision and recall of the filter at its threshold, by the origin of the text."""
    origins = {
        "web texts": [quality.web for quality in filters],
        "new texts": [quality.synthetic for quality in filters],
    }
    rows = [
        [origin, _seeds([one.precision for one in judged]), _seeds([one.recall for one in judged])]
        for origin, judged in origins.items()
    ]
    return Table([Column("origin"), Column("precision, %"), Column("recall, %")], rows)


def ablation(one: Ablation) -> Table:
    """One of the paper's smaller questions, all shares in per cent."""
    titles = list(dict.fromkeys(title for row in one.rows.values() for title in row))
    rows = [[name, *(_share(row[title]) if title in row else "" for title in titles)] for name, row in one.rows.items()]
    return Table([Column(""), *(Column(f"{title}, %") for title in titles)], rows)


def _models(rows: Sequence[Row], test: str, wanted: Sequence[str], *, data: bool) -> Table:
    columns = [Column("cleaning"), *(DATA if data else ()), *map(_column, wanted)]
    body: list[list[Cell]] = []
    for name in summary.names(rows):
        numbers = [_cell(rows, name, f"{test}/{number}") for number in wanted]
        body.append([summary.TITLES[name], *(_data(rows, name) if data else ()), *numbers])
    return Table(columns, body)


def _data(rows: Sequence[Row], name: str) -> list[Cell]:
    pairs, noise = summary.pairs(rows, name), summary.noise_left(rows, name)
    counts = (pairs.web, pairs.synthetic, pairs.human)
    total, remark = sum(counts), " + ".join(f"{count:,}" for count in counts)
    return [Number(float(total), f"{total:,}", remark), "unknown" if noise is None else Number(noise, percent(noise))]


def _column(number: str) -> Column:
    head, _, what = number.partition("_")
    if head == "caption":
        return Column(what.replace("_", " "), "captions, %", Better.HIGHER)
    side, _, k = what.partition("@")
    return Column(f"{SIDES[side]} R@{k}", f"{HEADS[head]}, %", Better.HIGHER)


def _cell(rows: Sequence[Row], name: str, number: str) -> Cell:
    found = summary.measured(rows, name, number)
    return "" if found is None else _share(found.value, found.remark)


def _seeds(values: Sequence[float]) -> Number:
    mean, deviation = spread(values)
    return _share(mean, f"± {percent(deviation)}" if len(values) > 1 else "")


def _share(share: float, remark: str = "") -> Number:
    return Number(share, percent(share), remark)
