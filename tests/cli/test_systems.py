"""`chiasm systems` is the catalogue."""

import json

import chiasm

from .conftest import Call


def test_json_is_the_fields_of_the_catalogue(call: Call) -> None:
    every = {told["name"]: told for told in json.loads(call("systems", "--json").out)}
    told, info = every["blip"], chiasm.catalogue()["blip"]
    assert every.keys() == chiasm.catalogue().keys()
    assert told["presets"] == [*info.presets]
    assert told["abilities"] == [*info.abilities]
    assert told["parameters"]["base"] == info.parameters("base")
    assert told == json.loads(call("systems", "blip", "--json").out)


def test_every_preset_has_a_line(call: Call) -> None:
    lines = call("systems", "blip").out.splitlines()
    assert "arXiv:2201.12086" in lines[0]
    info = chiasm.catalogue()["blip"]
    assert lines[-len(info.weights) :] == [f"  official weights: {name}" for name in info.weights]
    for preset, line in zip(info.presets, lines[1 : -len(info.weights)], strict=True):
        assert line.split()[0] == f"blip/{preset}"
    assert "252.4 M" in next(line for line in lines if " blip/base " in f" {line.strip()} ")
