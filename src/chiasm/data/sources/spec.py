"""Names of sources that are not files: `kind:preset?option=value&option=value`."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from chiasm.core.errors import unknown


def read_spec(spec: str, options: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """The preset's name ("" for none) and the options given, each read by its own function."""
    name, _, query = spec.partition("?")
    values: dict[str, Any] = {}
    for option, text in parse_qsl(query, keep_blank_values=True):
        if option not in options:
            raise unknown("option", option, options)
        try:
            values[option] = options[option](text)
        except ValueError as error:
            raise ValueError(f"{option}={text} in {spec!r}: {error}") from error
    return name.partition(":")[2], values
