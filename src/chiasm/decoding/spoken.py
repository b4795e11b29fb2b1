"""What comes out of decoding."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Spoken:
    """New tokens without the end token, and the natural logarithm of their probability.

    The probability is the model's own, before penalties, bans, temperature and nucleus; it includes
    the end token where one was spoken, which it is not where `max_new_tokens` cut the text off.
    """

    ids: tuple[int, ...]
    logprob: float


def cut(tokens: Int[Tensor, "n t"], logprob: Float[Tensor, " n"], end: int) -> list[Spoken]:
    """Rows of tokens up to the first end token; what lies behind it is filling."""
    rows: list[list[int]] = tokens.tolist()
    lengths = [row.index(end) if end in row else len(row) for row in rows]
    return [Spoken(tuple(row[:n]), p) for row, n, p in zip(rows, lengths, logprob.tolist(), strict=True)]
