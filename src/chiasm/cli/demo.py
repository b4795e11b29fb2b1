"""`chiasm demo`: BLIP's experiment in miniature, with its progress."""

from chiasm.cli.progress import progress
from chiasm.demo.experiment import run
from chiasm.demo.options import DemoOptions
from chiasm.demo.pool import Event


def demo(asked: DemoOptions) -> None:
    """Do what is not done of it, and say where everything lies."""
    with progress() as tell:

        def on_event(event: Event) -> None:
            tell(f"seed {event.seed}: {event.name}", event.step, event.steps, "")

        report = run(asked, on_event)
    print(f"report: {report}")
    print(f"models: {asked.out / 'seed-0'}/*, each of them a MODEL for chiasm caption, match, classify and embed")
    if (shown := asked.out / "pictures").is_dir():
        print(f"try:    chiasm caption {asked.out / 'seed-0' / 'train-both'} {shown}")
