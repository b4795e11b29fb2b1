"""Graphs that compare and match by a part of theirs, and do something else besides: their verbs are that part's.

MED ──────────── Retriever ───────┐
MaskedFusion ─── Fusion ──────────┼─ see, embed, read, match, order, fuse
QueryAligner ─── QueryRetriever ──┘

What such a part is called stays with each graph, since files call it so.
"""

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from chiasm.core.ability import EmbedsImages, EmbedsText, Matches, Pairing, Reads
from chiasm.core.types import Text


@runtime_checkable
class Aligner(EmbedsImages, EmbedsText, Reads, Matches, Protocol):
    """Compares, and matches what it compared."""

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]: ...

    def order(self, matched: Float[Tensor, " n"], cosine: Float[Tensor, " n"], /) -> Float[Tensor, " n"]: ...

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b n d"]: ...


class HasAligner(ABC):
    """Whatever is asked of an `Aligner`, its own answers."""

    @property
    @abstractmethod
    def aligner(self) -> Aligner: ...

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        return self.aligner.sharpen(cosine)

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.aligner.see(images)

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b *q d"]:
        return self.aligner.embed_seen(seen)

    def read(self, text: Text) -> Float[Tensor, "b t d"]:
        return self.aligner.read(text)

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]:
        return self.aligner.embed_text(text)

    def match(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        return self.aligner.match(seen, text, rows)

    def pairing(self, seen: Float[Tensor, "b p c"]) -> Pairing:
        return self.aligner.pairing(seen)

    def order(self, matched: Float[Tensor, " n"], cosine: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.aligner.order(matched, cosine)

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b n d"]:
        return self.aligner.fuse(seen, text)
