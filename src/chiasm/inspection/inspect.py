"""From a source to its findings, and to a page of them: what `chiasm data inspect` does.

source ─ survey ─ rows of numbers ─┬─ findings ─ terminal, JSON
                                   └─ page, with a few pictures read again for its sheets
"""

import os
from dataclasses import dataclass
from pathlib import Path

from chiasm.core.files import write_atomic
from chiasm.data.pairs import Source
from chiasm.data.quality import language
from chiasm.data.sources.chance import chance
from chiasm.data.sources.record import left_out
from chiasm.inspection import findings
from chiasm.inspection.examine import Tongue
from chiasm.inspection.findings import Findings, Groups
from chiasm.inspection.page import markup
from chiasm.inspection.sheets import Album
from chiasm.inspection.survey import Kinds, Progress, Survey, survey


@dataclass(frozen=True)
class Inspection:
    """What was seen, in numbers; pictures and texts are read again where they are shown."""

    source: Source
    findings: Findings
    seen: Survey
    alike: Groups

    def write(self, path: Path, *, seed: int = 0) -> None:
        """The page, whole or not at all; the seed draws the pictures of the random sheet."""
        album = Album(self.source, self.seen, self.alike, seed)
        write_atomic(path, markup(self.findings, album).encode("utf-8", "replace"))


def inspect(
    source: Source,
    name: str,
    *,
    sample: int | None = None,
    seed: int = 0,
    within: int = 3,
    threads: int | None = None,
    progress: Progress,
) -> Inspection:
    """Look at all pairs, or at `sample` of them by lot; hashes of pictures that look alike differ in `within` bits."""
    chosen = range(len(source))
    if sample is not None and sample < len(source):
        chosen = sorted(chance("inspect", seed).sample(chosen, sample))
    tongue, missing = _tongue()
    seen = survey(source, chosen, tongue=tongue, threads=threads or os.cpu_count() or 1, progress=progress)
    alike = findings.groups(seen, within=within)
    found = Findings(
        source=name,
        fingerprint=source.fingerprint,
        pairs=len(source),
        inspected=len(chosen),
        left_out=findings.reasons(_left_out(source)),
        broken=findings.reasons(seen.broken),
        pictures=findings.pictures(seen, alike),
        texts=findings.texts(seen),
        tags=findings.ranked_tags(seen.tags),
        missing=missing,
    )
    return Inspection(source, found, seen, alike)


def _tongue() -> tuple[Tongue, str]:
    """What tells languages apart, and what there is to say where nothing does."""
    try:
        language("")
    except ModuleNotFoundError as error:
        return (lambda _: ""), str(error)
    return language, ""


def _left_out(source: Source) -> Kinds:
    kinds = Kinds()
    for one in left_out(source):
        kinds.add(one.reason, one.id)
    return kinds
