"""`chiasm demo`: the experiment is in `chiasm.demo`."""

from chiasm.demo.experiment import run
from chiasm.demo.options import DemoOptions


def demo(asked: DemoOptions) -> None:
    """Run what is not done of it."""
    run(asked)
