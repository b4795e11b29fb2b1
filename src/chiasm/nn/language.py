"""What a language model is to whoever puts pictures among its words.

    given    vectors of what it is shown and told, padding on the left     [ · · image image image a photo of ]
    said     tokens that it says after that, padding on the right          [ a cat [end] · ]

A decoder reads both in a row; an encoder-decoder encodes the given and decodes the said. Either way it
is asked for the same: where does each token of the said come from, and what comes next?
"""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from chiasm.core.ability import State
from chiasm.core.types import Text


@runtime_checkable
class Language(Protocol):
    """A language model that takes vectors as readily as tokens."""

    @property
    def dim(self) -> int:
        """The width of its word vectors."""
        ...

    def embed(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Word vectors, before positions: what may stand beside vectors of other things."""
        ...

    def predict(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"], said: Text) -> Float[Tensor, "m d"]:
        """For every real token of `said`, row by row, the state from which it is predicted: all before it was read.

        `present` is False on padding, which stands on the left. Positions count only what is present.
        """
        ...

    def logits(self, states: Float[Tensor, "*m d"]) -> Float[Tensor, "*m v"]:
        """What may come next, of such states."""
        ...

    def listen(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> tuple[Float[Tensor, "b v"], State]:
        """Logits of the first token to say, and a state that has read the given."""
        ...

    def speak(self, ids: Int[Tensor, "n t"], state: Any) -> tuple[Float[Tensor, "n v"], Any]:
        """Logits of the token after `ids`, and the state that has read them too."""
        ...


@runtime_checkable
class LanguageConfig(Protocol):
    """A frozen value that becomes a language model."""

    @property
    def dim(self) -> int: ...

    def build(self) -> Any: ...


@runtime_checkable
class AnyWords(LanguageConfig, Protocol):
    """One that can be had for any vocabulary, since it is trained from scratch."""

    def worded(self, vocab: int) -> LanguageConfig: ...
