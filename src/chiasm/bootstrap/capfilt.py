"""CapFilt in one call."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chiasm.bootstrap.describe import Loader
from chiasm.bootstrap.estimate import Estimate, estimate
from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.policy import POLICIES, Policy
from chiasm.bootstrap.report import report
from chiasm.bootstrap.run import Progress, Summary, begin, run
from chiasm.bootstrap.select import Kept, select
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.worker import FAILURES
from chiasm.core.ability import Captioner, Matcher
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source

BOTH = POLICIES["both"]
HERE = Settings(captioner="captioner", filter="filter")


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What came of it, and where it lies."""

    summary: Summary
    kept: Kept
    pairs: Path
    report: Path


def bootstrap(
    source: str | Path | Source,
    out: Path,
    settings: Settings,
    *,
    load: Loader,
    workers: int = 1,
    policy: Policy = BOTH,
    announce: Callable[[Estimate], None] | None = None,
    progress: Progress | None = None,
) -> Bootstrapped:
    """Pairs in, cleaned pairs out: plan, run, select, report; the same call again goes on where it stopped.

    The run lies in `out/run`, the pairs in `out/pairs`. `announce` hears what the run will cost
    before it starts; without it nothing is measured.
    """
    folder, pairs = out / "run", out / "pairs"
    opened = _Here(source) if isinstance(source, Source) else open_source
    plan(type(source).__name__ if isinstance(source, Source) else source, folder, opened=opened)
    begin(folder, settings)
    if workers == 1:
        load = cache(load)  # the estimate and the run are in this process
    if announce:
        with suppress(*FAILURES):  # what fails on a few pairs is the run's to tell
            announce(estimate(folder, settings, load=load, workers=workers, opened=opened))
    summary = run(folder, settings, load=load, workers=workers, opened=opened, progress=progress)
    kept = select(folder, pairs, policy, opened=opened)
    page = report(folder, threshold=policy.threshold, opened=opened)
    return Bootstrapped(summary=summary, kept=kept, pairs=pairs, report=page)


def capfilt(
    source: str | Path | Source,
    out: Path,
    *,
    captioner: Captioner,
    filter: Matcher,  # noqa: A002 - the paper's word
    settings: Settings = HERE,
    policy: Policy = BOTH,
    announce: Callable[[Estimate], None] | None = None,
    progress: Progress | None = None,
) -> Bootstrapped:
    """`bootstrap` with any two models that are there already, such as a `Predictor`; they work in this process.

    The settings hold their names, which stand in the records, and which the same call again must repeat: give
    other models other names, or their work would be mixed.
    """
    models = {settings.captioner: captioner, settings.filter: filter}
    if models[settings.captioner] is not captioner:
        raise ValueError(
            f"captioner and filter are two models, but both are called {settings.filter!r} in the settings"
        )
    return bootstrap(
        source, out, settings, load=models.__getitem__, policy=policy, announce=announce, progress=progress
    )


@dataclass(frozen=True)
class _Here:
    """Opens a source that is there already, whatever it is called."""

    source: Source

    def __call__(self, _: str) -> Source:
        return self.source
