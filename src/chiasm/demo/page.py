"""The report of the demo: BLIP's experiment, told with its numbers, plots and pictures.

`report.html` is the page, `table.md` its tables for a document. The same results give the same bytes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from chiasm.core.files import write_atomic
from chiasm.demo import summary, tables
from chiasm.demo.results import Example, FilterQuality, Results
from chiasm.demo.summary import Measured, Verdict, percent
from chiasm.evaluation.filtering import THRESHOLD
from chiasm.evaluation.intervals import spread
from chiasm.report import figures, markup
from chiasm.report.figures import Bar
from chiasm.report.markup import Content, Html, Tone, paragraph, strong
from chiasm.report.page import Section, lead, page
from chiasm.report.table import Column, Table, html, markdown

PAGE, TABLE = "report.html", "table.md"
PAPER = markup.link("BLIP", "https://arxiv.org/abs/2201.12086")
TESTS = {
    "test": "test pictures",
    "known": "known emoji, drawn anew",
    "combinations": "known parts in new combinations",
    "unseen": "emoji never seen",
}
NUMBERS = {
    "itm_mean@1": "R@1 (re-ranked, mean of text and image)",
    "itc_mean@1": "R@1 (by cosine, mean of text and image)",
    "caption_exact": "captions that are exactly right",
}


def write_report(results: Results, folder: Path) -> Path:
    """Put the page and the tables into `folder`; where the page lies."""
    write_atomic(folder / TABLE, document(results).encode())
    write_atomic(folder / PAGE, render(results).encode())
    return folder / PAGE


def document(results: Results) -> str:
    """The tables in Markdown, with the command that made them."""
    parts = [f"`{results.command}`\n", f"In small print: {_doubt(results)}.\n"]
    for test in summary.tests(results.rows):
        found = [tables.capfilt(results.rows, test), tables.recalls(results.rows, test)]
        if (by_attribute := tables.attributes(results.rows, test)) is not None:
            found.append(by_attribute)
        parts += [f"### {_test(test).capitalize()}\n", *map(markdown, found)]
    if results.filters:
        auc = _mean([quality.auc for quality in results.filters])
        parts += [
            f"### The filter\n\nAUC {auc}.\n",
            markdown(tables.decisions(results.filters)),
            markdown(tables.kinds(results.filters)),
        ]
    for one in results.ablations:
        parts += [f"### {one.title}\n\n{one.about}\n", markdown(tables.ablation(one))]
    return "\n".join(parts)


def render(results: Results) -> str:
    """The page."""
    opening = [
        lead(
            "The web is full of pictures whose texts say something else. ", PAPER, " lets a model clean its own training "
            "data: a captioner writes a new text for every picture, a filter keeps the texts, old and new, that fit, and a "
            "model trained on what is left is better. This page shows that experiment, small enough for one computer."
        ),
        markup.facts(list(_facts(results))),
    ]  # fmt: skip
    return page(
        "CapFilt in miniature",
        opening=opening,
        sections=[section for section in _sections(results) if section.blocks],
        footer="Made by Chiasm. This page is one file: it needs no network.",
    )


def _sections(results: Results) -> Iterator[Section]:
    yield Section("What was done", [_story(results)])
    yield Section("What came out", list(_outcome(results)))
    yield Section("The filter", list(_filter(results)))
    yield Section("Examples", list(_examples(results.examples)))
    yield Section("Training", list(_training(results)))
    yield Section("Ablations", list(_ablations(results)))
    yield Section("Settings", list(_settings(results)))


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    rows = results.rows
    for verdict in summary.verdicts(rows, summary.tests(rows)[0]):
        yield f"{NUMBERS[verdict.number]}, from no cleaning to both", _change(verdict.before.value, verdict.after.value)
    before, after = summary.noise_left(rows, "none"), summary.noise_left(rows, "both")
    if before is not None and after is not None:
        yield "wrong texts in the training data, from no cleaning to both", _change(before, after)
    if results.filters:
        yield "AUC of the filter against the known noise", _mean([quality.auc for quality in results.filters])
    if results.seconds:
        yield f"for everything, with {_seeds(results)}", _time(sum(results.seconds.values()))


def _story(results: Results) -> Html:
    first = results.rows[0].pairs
    noise = summary.noise_left(results.rows, "none")
    wrong = "" if noise is None else f" ({percent(noise)} % of all are wrong, and flagged, which no model is told)"
    return markup.steps(
        markup.join(strong("Pre-train. "), f"One model learns from {first.web:,} noisy pairs{wrong} and {first.human:,} human ones: "
                    "contrast, matching and language together."),
        markup.join(strong("Fine-tune twice. "), "From there, and apart from each other, a captioner and a filter learn from "
                    "the human pairs alone."),
        markup.join(strong("Caption. "), "The captioner writes one text for each noisy picture, drawn by nucleus sampling: "
                    "more surprising than the likeliest text."),
        markup.join(strong("Filter. "), "The matching head reads each web text and each new text beside its picture, and keeps "
                    f"those it gives a probability of {THRESHOLD} or more."),
        markup.join(strong("Train anew. "), "Four models start from scratch, with the same number of steps, on what each way of "
                    "cleaning leaves. They differ in nothing else."),
    )  # fmt: skip


def _outcome(results: Results) -> Iterator[Content]:
    rows, tests = results.rows, summary.tests(results.rows)
    verdicts = [(test, verdict) for test in tests for verdict in summary.verdicts(rows, test)]
    if verdicts:
        tone = Tone.GOOD if all(verdict.clear and verdict.gain > 0 for _, verdict in verdicts) else Tone.NOTE
        told = (_verdict(verdict, test if len(tests) > 1 else "") for test, verdict in verdicts)
        yield markup.callout(*(paragraph(*one) for one in told), tone=tone)
    for test in tests:
        if len(tests) > 1:
            yield markup.heading(_test(test).capitalize())
        yield from _one_test(results, test)
    yield markup.details(
        "The same table in the paper",
        html(tables.published(), "14 million pictures, ViT-B for all, fine-tuned on COCO (table 1); each row beats the one above."),
    )  # fmt: skip


def _one_test(results: Results, test: str) -> Iterator[Html]:
    yield html(tables.capfilt(results.rows, test), f"Best in colour; in small print, {_doubt(results)}.")
    if (drawing := _bars(results, test)) is not None:
        yield markup.figure(drawing, f"Each model on the {_test(test)}; the thin lines show {_doubt(results)}.")
    found = {
        "R@1, R@5 and R@10 in both directions": tables.recalls(results.rows, test),
        "Captions, each attribute apart": tables.attributes(results.rows, test),
    }
    for title, table in found.items():
        if table is not None and len(table.columns) > 1:
            yield markup.details(title, html(table))


def _bars(results: Results, test: str) -> Html | None:
    rows, known = results.rows, summary.numbers(results.rows, test)
    shown = {"itc_tr@1": "text R@1, ITC", "itc_ir@1": "image R@1, ITC", "itm_tr@1": "text R@1, + ITM",
             "itm_ir@1": "image R@1, + ITM", "caption_exact": "exact captions"}  # fmt: skip
    wanted = [number for number in shown if number in known]
    series: dict[str, list[Bar]] = {}
    for name in summary.names(rows):
        found = [summary.measured(rows, name, f"{test}/{number}") for number in wanted]
        series[summary.TITLES[name]] = [_bar(one) for one in found if one is not None]
    whole = bool(wanted) and all(len(members) == len(wanted) for members in series.values())
    return figures.bars([shown[number] for number in wanted], series, label="per cent") if whole else None


def _verdict(verdict: Verdict, test: str) -> Iterator[Content]:
    """One number from no cleaning to both, said as plainly as it was measured."""
    if test:
        yield f"{_test(test).capitalize()}: "
    yield (
        f"{NUMBERS[verdict.number]} " if test else f"{NUMBERS[verdict.number][0].upper()}{NUMBERS[verdict.number][1:]} "
    )
    moved = "rose" if verdict.gain > 0 else "fell" if verdict.gain < 0 else "stayed"
    yield strong(f"{moved} from {percent(verdict.before.value)} to {percent(verdict.after.value)} %")
    yield " with both, captioner and filter" + (
        ", by more than the doubt. " if verdict.clear else ", within the doubt. " if verdict.gain > 0 else ". "
    )
    order = ", ".join(summary.TITLES[name] for name in verdict.order)
    if verdict.as_published:
        yield "The order is that of the paper, worst to best: " + order + "."
    elif len(verdict.order) == len(summary.TITLES):
        yield (
            "The order is not that of the paper (no cleaning, filter only, captioner only, both). Worst to best it is: "
            + order
            + "."
        )


def _filter(results: Results) -> Iterator[Content]:
    if not results.filters:
        return
    known = results.filters
    first = known[0]
    yield paragraph(
        "The noise is flagged, so the filter can be marked. Drawn at random, a right web text gets a higher match "
        "probability than a wrong one with probability ", strong(_mean([quality.auc for quality in known])), " (the AUC)."
    )  # fmt: skip
    curves = {f"seed {quality.seed}" if len(known) > 1 else "web texts": quality.roc for quality in known}
    histogram = figures.histogram(
        {"right web texts": first.right, "wrong web texts": first.wrong}, label="match probability", threshold=THRESHOLD
    )
    yield markup.figures(
        markup.figure(
            figures.roc(curves), "Over all thresholds: a perfect filter would run along the left and upper edge."
        ),
        markup.figure(
            histogram, f"What the filter thinks of web texts; right of the dotted line ({THRESHOLD}) they are kept."
        ),
    )
    yield from _counts(results, known)


def _counts(results: Results, known: Sequence[FilterQuality]) -> Iterator[Content]:
    caption = f"At the threshold of {THRESHOLD}: the share of kept texts that is right, the share of right texts that is kept."
    yield html(tables.decisions(known), caption)
    yield html(
        tables.kinds(known), "What became of each kind of web text: right ones should be kept, all others dropped."
    )
    if results.captioners:
        before = _mean([100 * quality.before for quality in results.captioners], digits=1)
        after = _mean([100 * quality.after for quality in results.captioners], digits=1)
        yield paragraph(
            "Of the captioner's texts, ", strong(f"{before} %"), " are right as they were written, and ",
            strong(f"{after} %"), " of those that the filter kept."
        )  # fmt: skip


def _examples(examples: Sequence[Example]) -> Iterator[Content]:
    groups = {
        "Web text dropped, new text kept": (False, True),
        "Both kept": (True, True),
        "Web text kept, new text dropped": (True, False),
        "Both dropped": (False, False),
    }
    for title, (web, synthetic) in groups.items():
        members = [one for one in examples if (one.web_kept, one.synthetic_kept) == (web, synthetic)]
        if members:
            yield markup.heading(title)
            yield markup.grid(*map(_example, members))


def _example(one: Example) -> Html:
    kind = None if one.noise is None else tables.NOISE.get(one.noise, one.noise)
    right = None if one.synthetic_right is None else one.synthetic_right
    web = _judged(
        one.web, one.web_probability, kept=one.web_kept, right=None if one.noise is None else not one.noise, kind=kind
    )
    new = _judged(one.synthetic, one.synthetic_probability, kept=one.synthetic_kept, right=right,
                  kind=None if right is None else "right" if right else "wrong")  # fmt: skip
    return markup.join(
        markup.picture(one.picture, f"picture with the web text: {one.web}"),
        markup.remarks([("web", web), ("new", new)]),
    )


def _judged(text: str, probability: float, *, kept: bool, right: bool | None, kind: str | None) -> Html:
    badges = [markup.badge(f"{'kept' if kept else 'dropped'} at {probability:.2f}", Tone.GOOD if kept else Tone.BAD)]
    if kind is not None:
        badges.append(markup.badge(kind))
    if right is not None and right != kept:
        badges.append(markup.badge("the filter erred", Tone.NOTE))
    return markup.join(text, markup.element("br"), *badges)


def _training(results: Results) -> Iterator[Content]:
    panels: dict[str, dict[str, tuple[tuple[float, float], ...]]] = {}
    for run, losses in results.curves.items():
        for loss, points in losses.items():
            panels.setdefault(loss, {})[run] = points
    if panels:
        yield markup.figure(
            figures.curves(panels), "Each loss over the steps of each run, averaged over stretches of steps."
        )
    stages = list(dict.fromkeys([*results.steps, *results.seconds]))
    if stages:
        rows = [[stage, _count(results.steps.get(stage)), _time(results.seconds.get(stage, 0.0))] for stage in stages]
        yield html(Table([Column("stage"), Column("steps"), Column("time")], rows))


def _ablations(results: Results) -> Iterator[Content]:
    for one in results.ablations:
        yield markup.heading(one.title)
        yield paragraph(one.about)
        yield html(tables.ablation(one))


def _settings(results: Results) -> Iterator[Content]:
    yield paragraph("The same command gives the same numbers, on the same versions and number of threads:")
    yield markup.command(results.command)
    if results.settings:
        rows = [[name, str(value)] for name, value in results.settings.items()]
        yield html(Table([Column("setting"), Column("value")], rows))


def _doubt(results: Results) -> str:
    if len(summary.seeds(results.rows)) > 1:
        return f"the standard deviation over {_seeds(results)}"
    return "the 95 % interval over test pairs (bootstrap, one seed)"


def _seeds(results: Results) -> str:
    count = len(summary.seeds(results.rows))
    return "1 seed" if count == 1 else f"{count} seeds"


def _test(name: str) -> str:
    return TESTS.get(name, name)


def _bar(one: Measured) -> Bar:
    return Bar(100 * one.value, 100 * one.low, 100 * one.high)


def _change(before: float, after: float) -> str:
    return f"{100 * before:.0f} → {100 * after:.0f} %"


def _mean(values: Sequence[float], digits: int = 3) -> str:
    mean, deviation = spread(values)
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if len(values) > 1 else "")


def _count(steps: int | None) -> str:
    return "" if steps is None else f"{steps:,}"


def _time(seconds: float) -> str:
    if not seconds:
        return ""
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
