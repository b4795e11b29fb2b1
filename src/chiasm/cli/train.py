"""`chiasm train RECIPE.py`: a recipe is Python, and its own `Options` are options of the command."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, make_dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from chiasm.cli.errors import UsageError, one_line
from chiasm.cli.options import Launch
from chiasm.cli.parse import parse
from chiasm.cli.progress import progress, silence
from chiasm.core import ranks
from chiasm.predictor.device import device_of
from chiasm.training.run import Step
from chiasm.training.together import together
from chiasm.training.train import train as do

USAGE = "chiasm train RECIPE.py [options], or chiasm train RECIPE.py --help for the options of that recipe"


@dataclass(frozen=True)
class Recipe:
    """A module with a frozen dataclass `Options` and a function `runs(options)`."""

    path: Path
    about: str
    options: Any
    runs: Any


def train(words: Sequence[str]) -> None:
    """Do what is not done yet of a recipe's runs, with the other processes if torchrun started some."""
    with together():
        _train(words)


def _train(words: Sequence[str]) -> None:
    place = next((word for word in words if word.endswith(".py") and not word.startswith("-")), None)
    if place is None:
        raise UsageError(f"no recipe was given; usage: {USAGE}")
    recipe = _read(Path(place))
    kind = make_dataclass(
        "Train",
        [
            ("launch", Annotated[Launch, arg(name="")], field(default_factory=Launch)),
            ("options", Annotated[recipe.options, arg(name="")]),
        ],
        kw_only=True,
        namespace={"__doc__": recipe.about},
    )
    rest = [word for word in words if word is not place]
    asked = parse(kind, rest, prog=f"chiasm train {place}")
    folder = asked.launch.out or Path("runs") / recipe.path.stem
    with progress() if ranks.rank() == 0 else nullcontext(silence) as tell:

        def on_step(step: Step) -> None:
            tell(step.run, step.step, step.steps, f"loss {step.total:.3f}")

        def on_note(note: str) -> None:
            if ranks.rank() == 0:
                print(one_line(note), file=sys.stderr, flush=True)

        device = device_of(asked.launch.device)
        do(recipe.runs(asked.options), folder, device=device, on_step=on_step, on_note=on_note)
    print(f"{folder} is done: other commands take it as MODEL, and chiasm.load({str(folder)!r}) opens it")


def _read(path: Path) -> Recipe:
    if not path.is_file():
        raise ValueError(f"there is no recipe {str(path)!r}")
    spec = spec_from_file_location(f"recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python module")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    inside = vars(module)
    if lacking := {"Options", "runs"} - inside.keys():
        raise ValueError(
            f"{path} is no recipe: it lacks {' and '.join(sorted(lacking))}, "
            "of a frozen dataclass Options and a function runs(options)"
        )
    return Recipe(path, inside["__doc__"] or "", inside["Options"], inside["runs"])
