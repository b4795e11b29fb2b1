"""CapFilt in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chiasm.bootstrap.describe import Loader
from chiasm.bootstrap.estimate import Estimate, estimate
from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.policy import POLICIES, Policy
from chiasm.bootstrap.report import report
from chiasm.bootstrap.run import Progress, Summary, run
from chiasm.bootstrap.select import Kept, select
from chiasm.bootstrap.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What came of it, and where it lies."""

    summary: Summary
    kept: Kept
    pairs: Path
    report: Path


def bootstrap(
    source: str | Path,
    out: Path,
    settings: Settings,
    *,
    load: Loader,
    workers: int = 1,
    policy: Policy = POLICIES["both"],
    announce: Callable[[Estimate], None] | None = None,
    progress: Progress | None = None,
) -> Bootstrapped:
    """Pairs in, cleaned pairs out: plan, run, select, report; the same call again goes on where it stopped.

    The run lies in `out/run`, the pairs in `out/pairs`. `announce` hears what the run will cost
    before it starts; without it nothing is measured.
    """
    folder, pairs = out / "run", out / "pairs"
    plan(source, folder)
    if announce:
        announce(estimate(folder, settings, load=load, workers=workers))
    summary = run(folder, settings, load=load, workers=workers, progress=progress)
    kept = select(folder, pairs, policy)
    return Bootstrapped(summary=summary, kept=kept, pairs=pairs, report=report(folder, threshold=policy.threshold))
