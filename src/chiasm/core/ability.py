"""What engines may ask of a model, as Protocols.

The first kind speaks tensors and is what modules offer (decoding and evaluation loops use it). The
second speaks pictures and strings and is what a `Predictor` or a remote server offers (CapFilt uses
it). No model lists its abilities by hand: `isinstance` tells.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from chiasm.core.results import Caption, Match
from chiasm.core.types import Media, Perceived, Prompt, Text, Wording

Picture = Any  # str | Path | PIL.Image | uint8 array [h, w, 3] | tensor [3, h, w]


@runtime_checkable
class Sees(Protocol):
    """Turns pictures into states that its other verbs take, so that a picture is read once."""

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]: ...


@runtime_checkable
class EmbedsImages(Sees, Protocol):
    """One unit vector a picture, or several, comparable with those of `EmbedsText`."""

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b *q d"]: ...


@runtime_checkable
class Reads(Protocol):
    """One state a word, before any picture."""

    def read(self, text: Text) -> Float[Tensor, "b t d"]: ...


@runtime_checkable
class EmbedsText(Protocol):
    """One unit vector a text."""

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]: ...


Pairing = Callable[[Text, Int[Tensor, " n"]], Float[Tensor, "n 2"]]


@runtime_checkable
class Matches(Sees, Protocol):
    """Two logits a pair (column 1: match); text `i` is read beside picture `rows[i]` of `seen`."""

    def match(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]: ...

    def pairing(self, seen: Float[Tensor, "b p c"]) -> Pairing:
        """`match` for texts that come a few at a time: what they read of the pictures is computed once."""
        ...


@runtime_checkable
class State(Protocol):
    """What a speaker remembers between tokens: `k` rows of text for each picture, side by side."""

    def spread(self, k: int) -> "State":
        """From one row a picture to `k` equal ones."""
        ...

    def select(self, rows: Int[Tensor, " n"]) -> "State":
        """Rows in a new order, also more or fewer of them, as many for each picture; each stays with its picture."""
        ...

    def keep(self, pictures: Int[Tensor, " m"]) -> "State":
        """Only some pictures, with all of their rows."""
        ...


@runtime_checkable
class Continues(Protocol):
    """Continues rows of tokens, one step at a time, about what `recall` was shown."""

    @property
    def end(self) -> int:
        """The token that closes a text."""
        ...

    def recall(self, seen: Float[Tensor, "b p c"], /) -> Any:
        """A `State` with one row for each picture, which has read what there is to read before the first token."""
        ...

    def speak(
        self, ids: Int[Tensor, "n t"], state: Any, present: Bool[Tensor, "n t"] | None = None, /
    ) -> tuple[Float[Tensor, "n v"], Any]:
        """Logits of the token after `ids`, and the `State` that has read them.

        `present` is False on padding, which must stand on the left.
        """
        ...


@runtime_checkable
class Begins(Continues, Protocol):
    """Continues from a token of its own; without one, it is what was read before that is continued."""

    @property
    def start(self) -> int:
        """The token that opens a text."""
        ...


@runtime_checkable
class Speaks(Sees, Begins, Protocol):
    """Writes about pictures."""


@runtime_checkable
class Answers(Sees, Protocol):
    """Reads questions beside pictures and writes about what it has read.

    In a ranking of candidates the first token of each counts `first` times: once in BLIP, twice in
    ALBEF; and BLIP scores every token by the smoothed labels that it learned from.
    """

    @property
    def first(self) -> int: ...

    @property
    def smoothing(self) -> float: ...

    def ask(
        self, seen: Float[Tensor, "b p c"], question: Text, rows: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n t d"], Begins]:
        """States of question `i`, read beside picture `rows[i]`, and who continues about all of them."""
        ...


@runtime_checkable
class Instructs(Sees, Protocol):
    """Does what it is told about pictures, and about whatever else it has a sense for."""

    @property
    def cues(self) -> Mapping[str, str]:
        """The words that announce what is shown, by sense; in the order that the numbers of places stand for."""
        ...

    @property
    def media(self) -> Mapping[str, Media]:
        """How each sense wants what it is shown."""
        ...

    @property
    def hinted(self) -> bool:
        """Whether what looks at things is told what for."""
        ...

    @property
    def wording(self) -> Wording:
        """How it is spoken to."""
        ...

    def perceive(self, sense: str, media: Float[Tensor, "n f ..."]) -> Float[Tensor, "n f p c"]:
        """States of every frame, which `listen` takes, so that nothing has to be looked at twice."""
        ...

    def listen(self, perceived: Perceived, prompt: Prompt) -> tuple[Float[Tensor, "b n d"], Continues]:
        """What the language model reads for each row, and who continues it."""
        ...


@runtime_checkable
class Judges(Sees, Protocol):
    """Logits of a few labels for a text beside one picture, or beside several whose states lie in a row."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def pictures(self) -> int:
        """How many pictures a text is about."""
        ...

    def judge(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n l"]:
        """Text `i` is read beside picture `rows[i]` of `seen`."""
        ...


@runtime_checkable
class Adapts(Protocol):
    """Takes over a tensor of its own from a model of another size."""

    def adapted(self, name: str, value: Tensor) -> Tensor:
        """`value` in our shape, where there is a way; else as it is."""
        ...


@runtime_checkable
class Watches(Protocol):
    """Data that depends on the model it is for: what a frozen part of it makes of them, say."""

    def watch(self, model: Any) -> None: ...


@runtime_checkable
class Truncates(Protocol):
    """May be told to cut off texts that are longer than it reads."""

    truncate: bool


@runtime_checkable
class Restarts(Protocol):
    """Made for training from the rest of the model, so that it can begin anew where an older model has none."""

    def restart(self) -> None: ...


@runtime_checkable
class Lent(Protocol):
    """May be somebody else's: frozen, named by its config, and made again from there; then no file of ours holds it."""

    @property
    def lender(self) -> str:
        """Whose it is, in words; "" for a part like any other."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """Says what is on pictures, continuing the prompt that each has; a sequence of seeds gives every row its own."""

    def caption(
        self,
        images: Sequence[Picture],
        *,
        prompt: Sequence[str],
        strategy: str,
        top_p: float,
        seed: Sequence[int],
        max_new_tokens: int,
    ) -> list[Caption]: ...


@runtime_checkable
class Matcher(Protocol):
    """Tells how well text `i` fits picture `i`."""

    def match(self, images: Sequence[Picture], texts: Sequence[str]) -> Match: ...
