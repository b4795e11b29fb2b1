"""What the verbs of a `Predictor` answer."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Caption:
    """What a model said about a picture.

    `text` is what it added: no prompt, no special tokens, stripped. `logprob` is the natural
    logarithm of the text's probability, the end token included, under the unmodified distribution.
    """

    text: str
    logprob: float


@dataclass(frozen=True)
class Ranking(Generic[Item]):
    """Candidates, best first: the items, where each stood in the input, and its score."""

    items: tuple[Item, ...]
    indices: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """What a model answered: `logprob` is the natural logarithm of the answer's probability, as in `Caption`.

    `candidates` are those that made the short list, best first, where there were any to choose from.
    """

    text: str
    logprob: float
    candidates: Ranking[str] | None = None


@dataclass(frozen=True)
class Match:
    """How well pictures and texts fit, by both heads; a head that the model lacks gives None.

    `itc_cosine` compares two independent embeddings: -1 to 1, good for search, no probability.
    `itm_prob` is the softmax of `itm_logits` (column 1: match) after the text has read the picture:
    0 to 1, good for decisions and for ordering a short list.
    """

    itc_cosine: Float[Tensor, " n"] | None
    itm_logits: Float[Tensor, "n 2"] | None
    itm_prob: Float[Tensor, " n"] | None
