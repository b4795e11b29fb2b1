"""What claims share: a cell of a table, and an exam that is held once."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from chiasm.core.files import write_atomic
from chiasm.evaluation.intervals import spread

WHERE = ("out", "seeds", "queries")  # options that say which exams there are, and nothing about any of them


def cell(values: Iterable[float]) -> str:
    """Mean and standard deviation over seeds."""
    mean, deviation = spread([*values])
    return f"{mean:.0f} ± {deviation:.0f}"


def once(done: Path, options: object, examine: Callable[[], Any]) -> Any:
    """What was found before, by the same options, or now."""
    asked = json.loads(json.dumps({name: value for name, value in vars(options).items() if name not in WHERE}))
    if not done.is_file():
        write_atomic(done, (json.dumps({"options": asked, "found": examine()}, indent=2) + "\n").encode())
    told = json.loads(done.read_text())
    if told.get("options") != asked:
        raise ValueError(f"{done} was found by other options: use another --out, or delete it")
    return told["found"]
