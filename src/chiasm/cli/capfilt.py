"""`chiasm capfilt`: pairs cleaned by a model's own captions, in steps or in one go."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

from chiasm.bootstrap import capfilt, manifest
from chiasm.bootstrap import report as page
from chiasm.bootstrap import run as runs
from chiasm.bootstrap import select as selection
from chiasm.bootstrap.estimate import Estimate
from chiasm.bootstrap.policy import POLICIES
from chiasm.bootstrap.run import Summary
from chiasm.bootstrap.select import Kept
from chiasm.bootstrap.settings import Settings
from chiasm.cli import options
from chiasm.cli.errors import UsageError
from chiasm.cli.progress import progress
from chiasm.data.pairs import Summarised
from chiasm.data.sources import open_source
from chiasm.data.writers import Form
from chiasm.predictor.open import load


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
            policy=replace(POLICIES["both"], threshold=asked.threshold),
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
    settings = _settings(asked.captioner, asked.filter, asked.how)
    if asked.retry:
        print(f"{runs.retry(asked.run, asked.retry.removeprefix('status='))} shards are opened again", file=sys.stderr)
    with progress() as tell:
        summary = runs.run(
            asked.run,
            settings,
            load=load,
            workers=asked.workers,
            attempts=asked.attempts,
            progress=lambda done, total: tell("shards", done, total, ""),
        )
    _tell_run(summary, asked.run)


def select(asked: options.Select) -> None:
    """Write what is worth keeping."""
    policy = replace(POLICIES[asked.keep], threshold=asked.threshold)
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


def _tell_source(where: str | Path) -> None:
    """What was found there, and what was left out."""
    source = open_source(where)
    if isinstance(source, Summarised):
        print(source.summary(), file=sys.stderr)


def _settings(captioner: str, judge: str, how: options.How) -> Settings:
    return Settings(captioner=captioner, filter=judge, **asdict(how))


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
        raise ValueError(
            f"shards {', '.join(map(str, summary.quarantined))} failed again and again: {folder} holds the reasons; "
            "chiasm capfilt run with --retry status=quarantined tries them once more"
        )


def _tell_kept(kept: Kept, folder: Path) -> None:
    pairs = ", ".join(f"{count} {origin}" for origin, count in kept.pairs.items()) or "no"
    left = f"; {kept.unreadable} pictures could not be copied" if kept.unreadable else ""
    wait = f"; {len(kept.missing)} shards are not done yet" if kept.missing else ""
    print(f"{folder}: {pairs} pairs{left}{wait}")
