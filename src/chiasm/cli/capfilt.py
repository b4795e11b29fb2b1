"""`chiasm capfilt`: pairs cleaned by a model's own captions, in steps or in one go."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from chiasm.bootstrap import agreement as agreements
from chiasm.bootstrap import capfilt, manifest
from chiasm.bootstrap import report as page
from chiasm.bootstrap import review as reviews
from chiasm.bootstrap import run as runs
from chiasm.bootstrap import select as selection
from chiasm.bootstrap.estimate import Estimate, estimate
from chiasm.bootstrap.manifest import Part
from chiasm.bootstrap.policy import POLICIES, Keep, Policy, Score
from chiasm.bootstrap.run import Summary
from chiasm.bootstrap.select import Kept
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.standards import Standards
from chiasm.bootstrap.worker import FAILURES
from chiasm.cli import capfilt_options as options
from chiasm.cli.errors import LeftOutError, UsageError, one_line
from chiasm.cli.progress import progress
from chiasm.core.errors import unknown
from chiasm.data.sources import open_source
from chiasm.data.sources.record import summary_of
from chiasm.data.writers import Form
from chiasm.predictor.open import load, located

RANGES = 20  # runs of shard numbers that a message shows


def bootstrap(asked: options.CapFilt) -> None:
    """Plan, run, select, report."""
    captioner, judge = asked.captioner or asked.model, asked.filter or asked.model
    if captioner is None or judge is None:
        raise UsageError("no model was given: --model MODEL, or --captioner MODEL and --filter MODEL")
    _tell_source(asked.source)
    with progress() as tell:
        made = capfilt.bootstrap(
            asked.source,
            asked.out,
            _settings(captioner, judge, asked.how),
            load=load,
            workers=asked.workers,
            policy=_policy("both", asked.threshold, asked.chosen),
            announce=_announce,
            progress=lambda done, total: tell("shards", done, total, ""),
        )
    _tell_kept(made.kept, made.pairs)
    print(f"report: {made.report}")
    _tell_run(made.summary, asked.out / "run")


def plan(asked: options.Plan) -> None:
    """Cut a source into shards."""
    _tell_source(asked.source)
    planned = manifest.plan(asked.source, asked.run, shard_size=asked.shard_size)
    print(f"{asked.run}: {planned.rows} pairs in {len(planned.shards)} shards")


def run(asked: options.Run) -> None:
    """Caption and judge."""
    settings, part, status = _settings(asked.captioner, asked.filter, asked.how), _part(asked), _status(asked)
    runs.begin(asked.run, settings, part)  # before a shard is opened again that other settings could not close
    if status:
        opened = runs.retry(asked.run, status, part)
        print(f"{opened} shards are opened again", file=sys.stderr)
    models = cache(load) if asked.workers == 1 else load
    with suppress(*FAILURES):  # what fails on a few pairs is the run's to tell
        _announce(estimate(asked.run, settings, load=models, workers=asked.workers, part=part))
    with progress() as tell:
        summary = runs.run(
            asked.run,
            settings,
            load=models,
            workers=asked.workers,
            attempts=asked.attempts,
            part=part,
            progress=lambda done, total: tell("shards", done, total, ""),
        )
    _tell_run(summary, asked.run)


def select(asked: options.Select) -> None:
    """Write what is worth keeping."""
    policy = _policy(asked.keep, asked.threshold, asked.chosen)
    with progress() as tell:
        kept = selection.select(
            asked.run,
            asked.out,
            policy,
            form=Form(asked.form),
            progress=lambda done, total: tell("shards", done, total, ""),
        )
    _tell_kept(kept, asked.out)


def report(asked: options.Report) -> None:
    """Write the page."""
    print(page.report(asked.run, threshold=asked.threshold))


def review(asked: options.Review) -> None:
    """Draw texts, show them, ask about them."""
    sheet = reviews.review(asked.run, asked.out, sample=asked.sample, threshold=asked.threshold, seed=asked.seed)
    print(f"{asked.out / 'review.html'} shows the texts; write yes or no into {sheet}, column 'right'")


def agreement(asked: options.Agreement) -> None:
    """Hold the filter against a person."""
    for one in agreements.agreement(asked.sheet):
        told = [
            f"{words} {share.value:.0%} ({share.low:.0%} to {share.high:.0%})"
            for words, share in (
                ("of what it keeps is right:", one.precision),
                ("of what is right it keeps:", one.recall),
            )
            if share
        ]
        print(f"{one.origin}: {one.judged} texts judged; {'; '.join(told) or 'too few to tell'}")


def _tell_source(where: str | Path) -> None:
    """What was found there, and what was left out."""
    print(one_line(summary_of(open_source(where))), file=sys.stderr)


def _settings(captioner: str, judge: str, how: options.How) -> Settings:
    for model in (captioner, judge):
        located(model)  # before a run is begun with it, and held to it
    given = asdict(how)
    return Settings(captioner=captioner, filter=judge, prompts=given.pop("prompt") or ("",), **given)


def _part(asked: options.Run) -> Part:
    try:
        return Part(asked.job_index, asked.num_jobs)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _status(asked: options.Run) -> str:
    """What is to be done again, "" for nothing."""
    status = asked.retry.removeprefix("status=")
    if status and status not in runs.RETRIED:
        raise UsageError(unknown("status", status, runs.RETRIED))
    return status


def _policy(keep: str, threshold: float, chosen: options.Choosing) -> Policy:
    return replace(
        POLICIES[keep],
        threshold=threshold,
        best=chosen.best,
        by=Score(chosen.by),
        standards=Standards(min_side=chosen.min_side, min_blur=chosen.min_blur, languages=chosen.language),
        copies=Keep.NONE if chosen.no_duplicates else Keep.ALL,
    )


def _announce(cost: Estimate) -> None:
    if cost.rows:
        print(
            f"{cost.rows} pictures will take about {_time(cost.seconds)}, and up to "
            f"{(cost.sidecar_bytes + cost.pair_bytes) / 1e6:,.1f} MB on the disk",
            file=sys.stderr,
        )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, seconds):.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _tell_run(summary: Summary, folder: Path) -> None:
    """How the run stands; raise if shards were given up."""
    statuses = ", ".join(f"{count} {status}" for status, count in summary.statuses.items()) or "nothing"
    print(f"{folder}: {summary.done} of {summary.shards} shards are done: {statuses}")
    if summary.quarantined:
        raise LeftOutError(
            f"shards {_ranges(summary.quarantined)} failed again and again: {folder} holds the reasons; "
            "chiasm capfilt run with --retry status=quarantined tries them once more"
        )


def _tell_kept(kept: Kept, folder: Path) -> None:
    pairs = ", ".join(f"{count} {origin}" for origin, count in kept.pairs.items()) or "no"
    left = f"; {kept.unreadable} pictures could not be copied" if kept.unreadable else ""
    copies = f"; {kept.copies} pictures look like another one" if kept.copies else ""
    wait = f"; {len(kept.missing)} shards are not done yet: {_ranges(kept.missing)}" if kept.missing else ""
    print(f"{folder}: {pairs} pairs{copies}{left}{wait}")


def _ranges(numbers: Sequence[int]) -> str:
    """0, 3-7, 12: the first of them where there are many."""
    known = {*numbers}
    starts = [n for n in numbers if n - 1 not in known]
    ends = [n for n in numbers if n + 1 not in known]
    told = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return ", ".join(told[:RANGES]) + (", ..." if len(told) > RANGES else "")
