"""The report of the demo: BLIP's experiment, told with its numbers, plots and pictures.

`report.html` is the page, `table.md` its tables for a document. The same results give the same bytes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from chiasm.core.files import write_atomic
from chiasm.demo import summary, tables, words
from chiasm.demo.gallery import gallery
from chiasm.demo.results import CaptionerQuality, FilterQuality, Results
from chiasm.demo.summary import Verdict
from chiasm.evaluation.filtering import THRESHOLD
from chiasm.report import figures
from chiasm.report.curves import Points
from chiasm.report.figures import Bar
from chiasm.report.markup import (
    Content,
    Html,
    Tone,
    callout,
    command,
    details,
    facts,
    figure,
    heading,
    paragraph,
    strong,
)
from chiasm.report.markup import figures as side_by_side
from chiasm.report.page import Section, lead, page
from chiasm.report.table import Column, Table, html, markdown

PAGE, TABLE = "report.html", "table.md"
SHOWN = {
    "itc_tr@1": "text R@1\nby cosine",
    "itc_ir@1": "image R@1\nby cosine",
    "itm_tr@1": "text R@1\nre-ranked",
    "itm_ir@1": "image R@1\nre-ranked",
    "caption_exact": "captions\nexactly right",
}


def write_report(results: Results, folder: Path) -> Path:
    """Put the page and the tables into `folder`; where the page lies."""
    write_atomic(folder / TABLE, document(results).encode())
    write_atomic(folder / PAGE, render(results).encode())
    return folder / PAGE


def document(results: Results) -> str:
    """The tables in Markdown, with the command that made them."""
    parts = [f"Made by `{results.command}`. In brackets: {words.doubt(results)}.\n"]
    for test in summary.tests(results.rows):
        found = (tables.capfilt(results.rows, test), *tables.more(results.rows, test).values())
        parts += [f"### {words.title(test)}\n", *map(markdown, found)]
    if results.filters:
        auc = words.mean([quality.auc for quality in results.filters])
        parts += [f"### The filter\n\nAUC on web texts: {auc}.\n", markdown(tables.decisions(results.filters))]
        parts += [markdown(tables.kinds(results.filters))]
    for one in results.ablations:
        parts += [f"### {one.title}\n\n{one.about}\n", markdown(tables.ablation(one))]
    return "\n".join(parts)


def render(results: Results) -> str:
    """The page."""
    sections = [
        Section("What was done", [words.story(results)]),
        Section("What came out", list(_outcome(results))),
        Section("The filter", list(_filter(results.filters, results.captioners))),
        Section("Examples", list(gallery(results.examples))),
        Section("Training", list(_training(results))),
        Section("Ablations", list(_ablations(results))),
        Section("Settings", list(_settings(results))),
    ]
    return page(
        "CapFilt in miniature",
        opening=[lead(*words.OPENING), facts(list(_facts(results)))],
        sections=[section for section in sections if section.blocks],
        footer="Made by Chiasm. This page is one file and needs no network.",
    )


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    rows = results.rows
    for one in summary.verdicts(rows, summary.tests(rows)[0]):
        yield f"{words.NUMBERS[one.number]}: no cleaning → both", words.change(one.before.value, one.after.value)
    before, after = summary.noise_left(rows, "none"), summary.noise_left(rows, "both")
    if before is not None and after is not None:
        yield "wrong texts in the training data: no cleaning → both", words.change(before, after)
    if results.filters:
        yield "AUC of the filter against the known noise", words.mean([quality.auc for quality in results.filters], 2)
    if results.seconds:
        yield f"of work, all steps of {words.seeds(results)} added up", words.duration(sum(results.seconds.values()))


def _outcome(results: Results) -> Iterator[Content]:
    tests = summary.tests(results.rows)
    for test in tests:
        if len(tests) > 1:
            yield heading(words.title(test))
        yield from _verdicts(list(summary.verdicts(results.rows, test)))
        yield from _one_test(results, test)
    about = "14 million pictures, ViT-B for all, fine-tuned on COCO (table 1): each row beats the one above it."
    yield details("The same table in the paper", html(tables.published(), about))


def _verdicts(found: Sequence[Verdict]) -> Iterator[Html]:
    if found:
        tone = Tone.GOOD if all(one.clear for one in found) else Tone.NOTE
        told = (paragraph(*words.verdict(one)) for one in found)
        yield callout(*told, paragraph(words.order(found)), tone=tone)


def _one_test(results: Results, test: str) -> Iterator[Html]:
    yield html(tables.capfilt(results.rows, test), f"The best is marked; in small print, {words.doubt(results)}.")
    yield from _bars(results, test)
    for title, table in tables.more(results.rows, test).items():
        yield details(title, html(table))


def _bars(results: Results, test: str) -> Iterator[Html]:
    numbers = [number for number in SHOWN if number in summary.numbers(results.rows, test)]
    series = {
        summary.TITLES[name]: [
            Bar(100 * one.value, 100 * one.low, 100 * one.high)
            for number in numbers
            if (one := summary.measured(results.rows, name, f"{test}/{number}")) is not None
        ]
        for name in summary.names(results.rows)
    }
    if numbers:
        drawing = figures.bars([SHOWN[number] for number in numbers], series, label="%")
        yield figure(drawing, f"Each way of cleaning, on {words.test_set(test)}; thin lines: {words.doubt(results)}.")


def _filter(known: Sequence[FilterQuality], captioners: Sequence[CaptionerQuality]) -> Iterator[Content]:
    if known:
        auc = strong(words.mean([quality.auc for quality in known]))
        yield paragraph(
            "The noise is flagged, so the filter can be marked. Of a right and a wrong web text, it thinks more of the "
            "right one with probability ", auc, " (the AUC)."
        )  # fmt: skip
        yield side_by_side(*_drawings(known))
        about = "Precision: how much of what is kept is right. Recall: how much of what is right is kept."
        kinds = "Each kind of web text: right ones should be kept, all others dropped."
        yield side_by_side(html(tables.kinds(known), kinds), html(tables.decisions(known), about))
    if captioners:
        before = words.mean([100 * quality.before for quality in captioners], 1)
        after = words.mean([100 * quality.after for quality in captioners], 1)
        yield paragraph("Of the captioner's texts ", strong(f"{before} %"), " are right as they were written, and ",
                        strong(f"{after} %"), " of those that the filter kept.")  # fmt: skip


def _drawings(known: Sequence[FilterQuality]) -> Iterator[Html]:
    curves = {f"seed {quality.seed}" if len(known) > 1 else "web texts": quality.roc for quality in known}
    yield figure(
        figures.roc(curves), "All thresholds at once: a perfect filter runs along the left and the upper edge."
    )
    counts = {
        "right web texts": [sum(column) for column in zip(*(quality.right for quality in known), strict=True)],
        "wrong web texts": [sum(column) for column in zip(*(quality.wrong for quality in known), strict=True)],
    }
    drawing = figures.histogram(counts, label="match probability", threshold=THRESHOLD)
    yield figure(
        drawing, f"What the filter thinks of web texts: those right of the dotted line at {THRESHOLD} are kept."
    )


def _training(results: Results) -> Iterator[Content]:
    panels: dict[str, dict[str, Points]] = {}
    for run, losses in results.curves.items():
        for loss, points in losses.items():
            panels.setdefault(loss, {})[run] = points
    if panels:
        yield figure(figures.curves(panels), "Each loss of each run, averaged over stretches of steps.")
    stages = list(dict.fromkeys([*results.steps, *results.seconds]))
    if stages:
        rows = [
            [
                stage,
                f"{results.steps[stage]:,}" if stage in results.steps else "",
                words.duration(results.seconds[stage]) if stage in results.seconds else "",
            ]
            for stage in stages
        ]
        yield html(Table([Column("stage"), Column("steps"), Column("time")], rows))


def _ablations(results: Results) -> Iterator[Content]:
    for one in results.ablations:
        yield heading(one.title)
        yield paragraph(one.about)
        yield html(tables.ablation(one))


def _settings(results: Results) -> Iterator[Content]:
    yield paragraph("On the same versions and number of threads, the same command gives the same numbers:")
    yield command(results.command)
    if results.settings:
        rows = [[name, str(value)] for name, value in results.settings.items()]
        yield html(Table([Column("setting"), Column("value")], rows))
