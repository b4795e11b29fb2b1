"""What the experiment found, as JSON holds it and the report shows it.

Numbers of a model are named `<test set>/<number>`: `test/itc_tr@1`, `unseen/caption_exact`. Shares lie
between 0 and 1. What is not known is None or empty: a user's own pairs come without flagged noise.
"""

import base64
import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chiasm.core.errors import unknown
from chiasm.evaluation.filtering import Kept
from chiasm.report.curves import Points

Setting = str | int | float | bool
Kind = TypeVar("Kind")
FOUR = ("none", "filter", "captioner", "both")  # the rows of BLIP's table 1, in the order they come out there


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """How many texts of each origin a model was trained on."""

    web: int
    synthetic: int
    human: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model, trained from scratch on what one policy (one of `FOUR`) kept, and how good it became.

    `noise_left` is the share of wrong texts in its data. An interval is that of the number of its name.
    """

    name: str
    seed: int
    pairs: Pairs
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    noise_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The filter's decisions on texts of one origin: of what it kept, how much is right, and the reverse."""

    precision: float
    recall: float


@dataclass(frozen=True, kw_only=True)
class FilterQuality:
    """The filter against the noise that is known, by its kind ("" for none) and over all thresholds.

    `right` and `wrong` count web texts in equal bins of probability.
    """

    seed: int
    auc: float
    roc: Points
    web: Judged
    synthetic: Judged
    kinds: Mapping[str, Kept]
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CaptionerQuality:
    """The share of synthetic captions that are right, as they were written and as the filter left them."""

    seed: int
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture (a PNG or JPEG file) with both texts; `noise` is the web text's kind, "" for none."""

    picture: bytes
    web: str
    web_probability: float
    web_kept: bool
    synthetic: str
    synthetic_probability: float
    synthetic_kept: bool
    noise: str | None = None
    synthetic_right: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A question of the paper's, and a small table of shares: `rows[what was done][what was measured]`."""

    title: str
    about: str
    rows: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that the report says.

    `curves` are a run's losses by name, as `report.curves` reads them. `seconds` of steps add up to the
    work done, which is more than the time that went by where steps ran side by side.
    """

    command: str
    settings: Mapping[str, Setting]
    rows: tuple[Row, ...]
    filters: tuple[FilterQuality, ...] = ()
    captioners: tuple[CaptionerQuality, ...] = ()
    examples: tuple[Example, ...] = ()
    curves: Mapping[str, Mapping[str, Points]] = field(default_factory=dict[str, Mapping[str, Points]])
    ablations: tuple[Ablation, ...] = ()
    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])


def to_json(results: Any) -> str:
    """Any of these records as JSON; pictures in base64."""
    return json.dumps(dataclasses.asdict(results), default=_word, indent=1, allow_nan=False) + "\n"


def from_json(text: str, kind: type[Kind] = Results) -> Kind:
    """What `to_json` wrote; a key that the record does not know is an error."""
    return _read(json.loads(text), kind)


def _word(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"results hold numbers, text and pictures, but no {type(value).__name__}")
    return base64.b64encode(value).decode()


def _read(value: Any, hint: Any) -> Any:
    """A value of the type that the annotation `hint` promises."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _read_record(value, hint)
    if hint is bytes:
        return base64.b64decode(value)
    if hint is float:
        return float(value)
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return tuple(_read(item, kind) for item, kind in zip(value, kinds, strict=True))
    if origin is Mapping:
        return {name: _read(item, inner[1]) for name, item in value.items()}
    return value


def _read_record(value: Mapping[str, Any], kind: Any) -> Any:
    hints = typing.get_type_hints(kind)
    for name in value.keys() - hints.keys():
        raise unknown(f"key of {kind.__name__}", name, hints)
    return kind(**{name: _read(item, hints[name]) for name, item in value.items()})
