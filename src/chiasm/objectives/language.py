"""Next-token prediction."""

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def labelled(
    states: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]
) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
    """States that have a next token to predict, and that token: padding never reaches the word head."""
    learns = mask[:, 1:]
    return states[:, :-1][learns], ids[:, 1:][learns]


def next_token(logits: Float[Tensor, "n v"], target: Int[Tensor, " n"], *, smoothing: float) -> Float[Tensor, ""]:
    """Mean cross-entropy with label smoothing (0.1 in BLIP)."""
    return F.cross_entropy(logits, target, label_smoothing=smoothing)


def weighed(
    logits: Float[Tensor, "n v"],
    target: Int[Tensor, " n"] | Float[Tensor, "n v"],
    weights: Float[Tensor, " n"],
    *,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """The sum of cross-entropies, each by its weight; a target is a token, or what a teacher thinks of all."""
    return (F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing) * weights).sum()
