"""The whole demo: do the steps, gather what they found, write the report."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from chiasm.bootstrap.pinned import pin
from chiasm.core.files import read_record, write_atomic
from chiasm.data.sources.parquet import ParquetSource
from chiasm.data.writers import encoded, ending_of
from chiasm.demo.ablations import ablations
from chiasm.demo.judge import judge
from chiasm.demo.options import MADE, DemoOptions
from chiasm.demo.page import write_report
from chiasm.demo.pictures import pictures
from chiasm.demo.pool import Event, work
from chiasm.demo.results import Pairs, Results, Row, to_json
from chiasm.demo.steps import TRAINED, Place, jobs
from chiasm.report.curves import Points, read_curves
from chiasm.training.loop import METRICS

ROWS = {"none": "pretrain"} | {name: f"train-{name}" for name in TRAINED}
SHOWN = 8  # test pictures that are written out
LONGEST = 60  # signs of a text that become a file's name
UNREAD = "pictures that could not be read"
FREE = {"out", "seeds", "workers", "ablations"}  # options that change no number of what was begun without them


def run(
    options: DemoOptions,
    on_event: Callable[[Event], None] = lambda _: None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Do what is not done yet and write `report.html`; where it lies.

    `on_note` hears what a user's pictures are, and which could not be read.
    """
    if about := pictures(options, 0).about:  # what cannot work is said before a folder is begun
        on_note(about)
    asked = {name: str(value) if name == "pictures" else value for name, value in asdict(options).items()}
    pinned = {name: value for name, value in asked.items() if name not in FREE}
    pin(options.out / "demo.json", pinned | {"budget": asdict(options.budget)})
    work(options, on_event)
    found = results(options)
    write_atomic(options.out / "results.json", to_json(found).encode())
    _show(options)
    if unread := found.settings.get(UNREAD):
        on_note(f"{UNREAD}: {unread}")
    return write_report(found, options.out)


def _show(options: DemoOptions) -> None:
    """A few test pictures, called by their captions, to try the models on."""
    place = Place(options, 0)
    test = ParquetSource(place.folder / "data" / f"{next(iter(place.read('data')['tests']))}.parquet")
    for row in range(min(SHOWN, len(test))):
        picture = encoded(test[row].image)
        name = re.sub(r"\W+", "-", test[row].text[:LONGEST]).strip("-")
        write_atomic(options.out / "pictures" / f"{name or row}.{ending_of(picture)}", picture)


def results(options: DemoOptions) -> Results:
    """What the finished steps found."""
    places = [Place(options, seed) for seed in range(options.seeds)]
    verdicts = [judge(place.folder / "capfilt", place.seed) for place in places]
    budget = options.budget
    return Results(
        command=command(options),
        settings=_settings(places[0]),
        rows=tuple(_row(place, name, step) for place in places for name, step in ROWS.items()),
        filters=tuple(one.filter for one in verdicts if one.filter),
        captioners=tuple(one.captioner for one in verdicts if one.captioner),
        examples=verdicts[0].examples,
        curves=dict(_curves(places[0])),
        ablations=tuple(ablations(places, verdicts)) if options.ablations else (),
        steps={"pre-training, each": budget.steps, "fine-tuning, each": budget.tune},
        seconds=_seconds(places),
    )


def command(options: DemoOptions) -> str:
    """What to type to get the same numbers."""
    usual = DemoOptions()
    names = ("minutes", "seeds", "pictures", "world", "noise")
    given = [f"--{name} {value}" for name in names if (value := vars(options)[name]) != vars(usual)[name]]
    return " ".join(["chiasm demo", *given, *(["--ablations"] if options.ablations else [])])


def _settings(place: Place) -> Mapping[str, str | int | float]:
    options, data = place.options, place.read("data")
    shown: dict[str, str | int | float] = {"pictures": options.pictures}
    if options.pictures == "made":
        shown["world"] = options.world
    if options.pictures in MADE:
        shown["share of wrong web texts"] = options.noise
    else:
        shown |= {"pairs": data["about"]} | ({UNREAD: data["unread"]} if data["unread"] else {})
    return shown | {"minutes": options.minutes, "seeds": options.seeds}


def _row(place: Place, name: str, step: str) -> Row:
    record = place.read(step)
    return Row(
        name=name,
        seed=place.seed,
        pairs=Pairs(**record["pairs"]),
        metrics=record["metrics"],
        intervals={number: (low, high) for number, (low, high) in record["intervals"].items()},
        noise_left=record["noise_left"],
    )


def _curves(place: Place) -> Iterator[tuple[str, Mapping[str, Points]]]:
    for step in ("pretrain", "captioner", "filter", *(f"train-{name}" for name in TRAINED)):
        for path in sorted((place.folder / step).glob(f"*/{METRICS}")):
            yield step, read_curves(path)


def _seconds(places: list[Place]) -> Mapping[str, float]:
    """Seconds of each step, over all seeds; those on different cores went by at the same time."""
    totals: dict[str, float] = {}
    for place in places:
        for step in jobs(place.options):
            totals[step] = totals.get(step, 0.0) + read_record(place.clock(step))["seconds"]
    return totals
