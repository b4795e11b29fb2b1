"""Chiasm: learning from pictures and the noisy words around them.

Nothing is imported before it is asked for: `import chiasm` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiasm.core.errors import AbilityError, MediaError
    from chiasm.core.results import Answer, Caption, Match, Ranking
    from chiasm.data.clips import Both, Clip
    from chiasm.data.pairs import Cloud, Sound, Video
    from chiasm.predictor.catalogue import SystemInfo, catalogue
    from chiasm.predictor.export import export
    from chiasm.predictor.open import create, load
    from chiasm.predictor.verbs import Predictor

__all__ = [
    "AbilityError",
    "Answer",
    "Both",
    "Caption",
    "Clip",
    "Cloud",
    "Match",
    "MediaError",
    "Predictor",
    "Ranking",
    "Sound",
    "SystemInfo",
    "Video",
    "catalogue",
    "create",
    "export",
    "load",
]

_HOMES = {
    "AbilityError": "chiasm.core.errors",
    "Answer": "chiasm.core.results",
    "Both": "chiasm.data.clips",
    "Clip": "chiasm.data.clips",
    "Caption": "chiasm.core.results",
    "Cloud": "chiasm.data.pairs",
    "Match": "chiasm.core.results",
    "MediaError": "chiasm.core.errors",
    "Predictor": "chiasm.predictor.verbs",
    "Ranking": "chiasm.core.results",
    "Sound": "chiasm.data.pairs",
    "SystemInfo": "chiasm.predictor.catalogue",
    "Video": "chiasm.data.pairs",
    "catalogue": "chiasm.predictor.catalogue",
    "create": "chiasm.predictor.open",
    "export": "chiasm.predictor.export",
    "load": "chiasm.predictor.open",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("chiasm")
    if name not in _HOMES:
        raise AttributeError(f"module 'chiasm' has no attribute {name!r}")
    return vars(import_module(_HOMES[name]))[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
