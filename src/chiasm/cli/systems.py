"""`chiasm systems`: the models there are."""

import json
from typing import Any

from chiasm.cli.errors import UsageError
from chiasm.cli.options import Systems
from chiasm.core.errors import unknown
from chiasm.predictor.catalogue import SystemInfo, catalogue


def systems(asked: Systems) -> None:
    """A page for each system, or for one; as JSON, the fields of `SystemInfo`."""
    known = catalogue()
    if asked.name and asked.name not in known:
        raise UsageError(unknown("system", asked.name, known))
    chosen = [known[asked.name]] if asked.name else [*known.values()]
    if asked.json:
        told = [_fields(info) for info in chosen]
        print(json.dumps(told[0] if asked.name else told, indent=2))
    else:
        for number, info in enumerate(chosen):  # each as soon as its presets are counted
            print(("\n" if number else "") + _page(info), flush=True)


def _fields(info: SystemInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "paper": info.paper,
        "presets": info.presets,
        "stages": info.stages,
        "abilities": info.abilities,
        "weights": info.weights,
        "parameters": {preset: info.parameters(preset) for preset in info.presets},
    }


def _page(info: SystemInfo) -> str:
    width = max(len(preset) for preset in info.presets) + len(info.name) + 1
    presets = [
        f"  {f'{info.name}/{preset}':{width}}  {info.parameters(preset) / 1e6:7.1f} M  "
        f"{', '.join(info.abilities_of(preset))}"
        for preset in info.presets
    ]
    about = f"{info.name}  {info.paper}  stages: {', '.join(info.stages)}"
    return "\n".join([about, *presets, *(f"  official weights: {name}" for name in info.weights)])
