"""Configs as JSON and back: what a model folder says about the module it holds.

Every config is written with its type, `{"type": "nn.vit:ViT.Config", "depth": 12, ...}`, so that a
field that may hold one of several configs reads back as the one it was. Enums are written by name,
tuples as lists. Reading is strict: a type outside `chiasm`, or a key that its type does not know,
is an error.
"""

import dataclasses
import importlib
import re
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from chiasm.core.errors import unknown

Kind = TypeVar("Kind")


def to_json(config: Any) -> dict[str, Any]:
    """A frozen config dataclass, with all configs inside it, as what `json.dumps` takes."""
    fields = {field.name: _write(getattr(config, field.name)) for field in dataclasses.fields(config)}
    return {"type": _tag(type(config)), **fields}


def from_json(data: Mapping[str, Any]) -> Any:
    """The config that `to_json` wrote."""
    if "type" not in data:
        raise ValueError(f"a config needs a 'type', such as 'nn.vit:ViT.Config', but {sorted(data)} has none")
    kind = _find(str(data["type"]))
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given = {name: value for name, value in data.items() if name != "type"}
    for name in given.keys() - fields.keys():
        raise unknown(f"key of {data['type']}", name, fields)
    if missing := [name for name, field in fields.items() if name not in given and _required(field)]:
        raise ValueError(f"{data['type']} lacks {', '.join(missing)}")
    return kind(**{name: _read(value, hints[name], f"{data['type']}.{name}") for name, value in given.items()})


def read_as(kind: type[Kind], data: Mapping[str, Any]) -> Kind:
    """`from_json`, where only one type will do."""
    config = from_json(data)
    if type(config) is not kind:
        raise ValueError(f"expected a config of type {_tag(kind)}, but found {data['type']}")
    return config


def _write(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return [_write(item) for item in typing.cast("tuple[Any, ...]", value)]
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"a config holds numbers, text, Enums, tuples and configs, but no {value!r}")
    return value


def _read(value: Any, hint: Any, where: str) -> Any:
    choices = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )
    if isinstance(value, Mapping):
        return from_json(typing.cast("Mapping[str, Any]", value))
    if isinstance(value, list):
        return _read_tuple(typing.cast("list[Any]", value), choices, where)
    if isinstance(value, str) and str not in choices:
        return _read_enum(value, choices, where)
    kinds = {kind for kind in choices if isinstance(kind, type)}
    if type(value) in kinds or (type(value) is int and float in kinds):
        return value
    raise ValueError(f"{where} cannot be {value!r}: it is {hint}")


def _read_tuple(values: list[Any], choices: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    hint = next((choice for choice in choices if typing.get_origin(choice) is tuple), None)
    if hint is None:
        raise ValueError(f"{where} cannot be a list: {values!r}")
    inner = typing.get_args(hint)
    if inner[1:] == (...,):
        inner = inner[:1] * len(values)
    if len(inner) != len(values):
        raise ValueError(f"{where} has {len(values)} items, but takes {len(inner)}")
    return tuple(_read(value, kind, where) for value, kind in zip(values, inner, strict=True))


def _read_enum(name: str, choices: tuple[Any, ...], where: str) -> Enum:
    kinds = [kind for kind in choices if isinstance(kind, type) and issubclass(kind, Enum)]
    if not kinds:
        raise ValueError(f"{where} cannot be text: {name!r}")
    for kind in kinds:
        if name in kind.__members__:
            return kind[name]
    raise unknown(where, name, [member for kind in kinds for member in kind.__members__])


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _tag(kind: type) -> str:
    if not kind.__module__.startswith("chiasm."):
        raise ValueError(f"{kind.__module__}:{kind.__qualname__} is not part of chiasm, so no file may name it")
    return f"{kind.__module__.removeprefix('chiasm.')}:{kind.__qualname__}"


def _find(tag: str) -> type:
    """The config type behind a tag; nothing but a dataclass of chiasm's can be reached by one."""
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", tag):
        raise ValueError(f"{tag!r} is not a config type; one looks like 'nn.vit:ViT.Config'")
    module_name, name = tag.split(":")
    try:
        module = importlib.import_module(f"chiasm.{module_name}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"chiasm.{module_name}".startswith(error.name):
            raise
        raise unknown("module of chiasm", module_name, _modules()) from error
    found = _configs(module)
    if name not in found:
        raise unknown(f"config type in {module_name}", name, found)
    return found[name]


def _configs(module: types.ModuleType) -> dict[str, type]:
    """Config types that `module` defines, one level of nesting included, by qualified name."""
    classes = [kind for kind in vars(module).values() if isinstance(kind, type)]
    nested = [kind for owner in classes for kind in vars(owner).values() if isinstance(kind, type)]
    return {
        kind.__qualname__: kind
        for kind in (*classes, *nested)
        if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    }


def _modules() -> list[str]:
    root = Path(__file__).parents[1]
    return [".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("[a-z]*.py")]
