"""`chiasm data`: what pairs are like."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from chiasm.cli.errors import UsageError
from chiasm.cli.options import Inspect
from chiasm.cli.progress import progress
from chiasm.data.sources import open_source
from chiasm.inspection.findings import Findings, Spread
from chiasm.inspection.inspect import inspect as look_at
from chiasm.inspection.points import points
from chiasm.inspection.words import UNKNOWN, bytes_, number

LANGUAGES = 6  # that are named
FURTHEST = 8  # bits; from about 10 on, pictures are strangers, and a search takes long


def inspect(asked: Inspect) -> None:
    """Walk over a source once; tell what it is like, and show it on a page."""
    _check(asked)
    source = open_source(asked.source)
    with progress() as tell:
        made = look_at(
            source,
            asked.source,
            sample=asked.sample,
            seed=asked.seed,
            within=asked.near,
            threads=asked.threads,
            progress=lambda done, total: tell("pairs", done, total, ""),
        )
    if asked.out:
        made.write(asked.out, seed=asked.seed)
    if asked.json:
        print(json.dumps(asdict(made.findings)))
    else:
        print("\n".join(_summary(made.findings)))
    print(f"report: {asked.out}" if asked.out else "--out FILE.html shows the pictures, too", file=sys.stderr)


def _check(asked: Inspect) -> None:
    if asked.out and asked.out.suffix != ".html":
        raise UsageError(f"--out takes an .html file, but {asked.out} is none")
    if asked.out and asked.out.is_dir():
        raise UsageError(f"--out takes an .html file, but {asked.out} is a folder")
    for name, value in (("sample", asked.sample), ("threads", asked.threads)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} is {value}, and at least 1 is needed")
    if not 0 <= asked.near <= FURTHEST:
        raise UsageError(f"--near is {asked.near}, but pictures that look alike differ in 0 to {FURTHEST} of 64 bits")


def _summary(found: Findings) -> Iterator[str]:
    drawn = "" if found.inspected == found.pairs else f", {found.inspected:,} of them drawn at random"
    yield f"{found.pairs:,} pairs in {found.source}{drawn}"
    if pictures := found.pictures:
        formats = ", ".join(f"{count:,} {name}" for name, count in pictures.formats.items())
        yield f"pictures     {pictures.files:,} that can be read, {bytes_(pictures.total_bytes)}: {formats}"
        for name, spread in pictures.spreads.items():
            yield f"  {name:<10} {_range(spread)}"
    yield f"texts        {_range(found.texts.words)} words, {_range(found.texts.letters)} characters"
    languages = [f"{count:,} {name or UNKNOWN}" for name, count in found.texts.languages.items()]
    yield f"languages    {found.missing or ', '.join(languages[:LANGUAGES])}"
    for point in points(found):
        yield f"{point.count:>12,}  {point.count / point.of:6.1%}  {point.name}"


def _range(spread: Spread) -> str:
    """Least, median and most."""
    return " .. ".join(map(number, (spread.low, spread.median, spread.high)))
