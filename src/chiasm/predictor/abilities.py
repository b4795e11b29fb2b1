"""What a verb needs of a module: no model lists its abilities by hand."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.ability import Answers, EmbedsImages, EmbedsText, Instructs, Judges, Matches, Sees, Speaks
from chiasm.core.types import Text


@runtime_checkable
class Compares(EmbedsImages, EmbedsText, Protocol):
    """Pictures and texts in one space."""

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Logits: cosines divided by the model's temperature."""
        ...


@runtime_checkable
class Orders(Matches, Protocol):
    """Judges candidates by matching, or by matching and comparing."""

    def order(self, matched: Float[Tensor, " n"], cosine: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Final scores of candidates, from their logits of a match and their cosines."""
        ...


@runtime_checkable
class Fuses(Sees, Protocol):
    """What became of a picture and a text that met: a state for each word, or for each query (BLIP-2)."""

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b n d"]: ...


@runtime_checkable
class Looks(Sees, Protocol):
    """Has queries that look at pictures with no text beside them, or may have (None)."""

    def look(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b q d"] | None: ...


NEEDS: Mapping[str, tuple[type, ...]] = {  # any one of these will do
    "caption": (Speaks, Instructs),
    "match": (Compares, Matches),
    "embed": (EmbedsImages, EmbedsText),
    "classify": (Compares,),
    "rerank": (Compares,),
    "features": (Sees,),
    "answer": (Answers, Judges, Instructs),
    "chat": (Instructs,),
}


def abilities(module: nn.Module) -> tuple[str, ...]:
    """The verbs that a module has the tensors for."""
    return tuple(verb for verb, kinds in NEEDS.items() if isinstance(module, kinds))
