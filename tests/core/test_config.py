"""Configs survive JSON; whatever a file says that its type does not know is an error with a hint."""

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chiasm.core.config import from_json, read_as, to_json
from chiasm.core.results import Ranking
from chiasm.core.types import Markers, Pixels
from chiasm.systems import blip

PIXELS = Pixels(size=32, mean=(0.5, 0.25, 0.125), std=(1.0, 2.0, 3.0))


@pytest.mark.parametrize("preset", blip.SYSTEM.presets.values(), ids=blip.SYSTEM.presets)
def test_every_preset_survives_json(preset: Callable[[], Any]) -> None:
    data = json.loads(json.dumps(to_json(preset())))
    assert from_json(data) == preset()
    assert from_json(data) != dataclasses.replace(PIXELS)


def test_what_is_written() -> None:
    assert to_json(PIXELS) == {
        "type": "core.types:Pixels",
        "size": 32,
        "mean": [0.5, 0.25, 0.125],
        "std": [1.0, 2.0, 3.0],
        "fit": "SQUASH",
    }
    assert to_json(blip.tiny())["sharing"] == "ALL_BUT_SELF_ATTENTION"
    assert to_json(blip.tiny())["retriever"]["vision"]["stem"]["type"] == "nn.vit:PatchStem"
    assert to_json(blip.base())["retriever"]["vision"]["stem"]["type"] == "nn.vit:PatchStem"


def test_a_default_may_be_left_out_but_nothing_else() -> None:
    data = to_json(blip.tiny())
    del data["sharing"]
    assert from_json(data) == blip.tiny()
    old = to_json(PIXELS)
    del old["fit"]  # as folders of older versions have it
    assert from_json(old) == PIXELS
    del data["retriever"]
    with pytest.raises(ValueError, match=r"archetypes\.med:MED\.Config lacks retriever"):
        from_json(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sise": 3}, r"unknown key of core\.types:Pixels 'sise'; did you mean 'size'\?"),
        ({"size": "32"}, r"core\.types:Pixels\.size cannot be text: '32'"),
        ({"size": 1.5}, r"size cannot be 1\.5"),
        ({"size": True}, r"size cannot be True"),
        ({"size": None}, r"size cannot be None"),
        ({"size": [1]}, r"size cannot be a list"),
        ({"mean": [1.0, 2.0]}, r"mean has 2 items, but takes 3"),
        ({"type": "core.types:Pixls"}, r"unknown config type in core\.types 'Pixls'; did you mean 'Pixels'\?"),
        ({"type": "core.typs:Pixels"}, r"unknown module of chiasm 'core\.typs'; did you mean 'core\.types'\?"),
        ({"type": "core.files:os"}, r"unknown config type in core\.files 'os'"),
        ({"type": "core.files:OutputError"}, r"unknown config type in core\.files"),
        ({"type": "../os:system"}, r"is not a config type"),
    ],
)
def test_errors_name_the_nearest(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(to_json(PIXELS) | change)


def test_an_unknown_member_of_an_enum() -> None:
    with pytest.raises(ValueError, match=r"'ALL_BUT_SELF'; did you mean 'ALL_BUT_SELF_ATTENTION'\?"):
        from_json(to_json(blip.tiny()) | {"sharing": "ALL_BUT_SELF"})


def test_no_file_may_name_a_type_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Config:\n    size: int = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"elsewhere:Config is not part of chiasm"):
        to_json(importlib.import_module("elsewhere").Config())
    with pytest.raises(ValueError, match=r"unknown module of chiasm 'elsewhere'"):
        from_json({"type": "elsewhere:Config"})


def test_only_the_type_that_was_asked_for() -> None:
    assert read_as(Pixels, to_json(PIXELS)) == PIXELS
    with pytest.raises(
        ValueError, match=r"expected a config of type core\.types:Markers, but found core\.types:Pixels"
    ):
        read_as(Markers, to_json(PIXELS))
    with pytest.raises(ValueError, match="a config needs a 'type'"):
        from_json({"size": 3})


def test_what_no_config_can_hold() -> None:
    with pytest.raises(TypeError, match="a config holds numbers"):
        to_json(Ranking(items=({},), indices=(0,), scores=(1.0,)))
