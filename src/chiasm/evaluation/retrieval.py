"""Retrieval as BLIP reports it (arXiv:2201.12086, section 5.1): R@1, R@5, R@10, text and image.

TR finds texts for a picture (rows of `scores`), IR finds pictures for a text (columns). Several
candidates may be right; the best of them counts. Where scores are equal, the wrong candidate stands
first: a model that cannot tell candidates apart gets no credit for the order they came in.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

KS = (1, 5, 10)
Part = TypeVar("Part", float, Tensor)


def equal_texts(texts: Sequence[str]) -> Bool[Tensor, "n n"]:
    """Which pictures and texts fit when pair `i` has text `i`: equal texts fit each other's pictures."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    kinds = torch.tensor([number[text] for text in texts], dtype=torch.long)
    return kinds[:, None] == kinds


def places(scores: Float[Tensor, "n m"], right: Bool[Tensor, "n m"]) -> Int[Tensor, " n"]:
    """How many wrong candidates stand before each row's best right one: 0 is a hit at 1."""
    if scores.isnan().any():
        raise ValueError("a score is not a number, so candidates have no order: the model has diverged")
    if not right.any(1).all():
        row = int((~right.any(1)).nonzero()[0])
        raise ValueError(f"row {row} has no right candidate, so nothing can be found for it")
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return ((scores >= best) & ~right).sum(1)


def recall(scores: Float[Tensor, "n m"], right: Bool[Tensor, "n m"], ks: Sequence[int] = KS) -> dict[str, float]:
    """The share of rows with a right candidate among the best k, as `r@1`, `r@5`, `r@10`."""
    place = places(scores, right)
    return {f"r@{k}": (place < k).double().mean().item() for k in ks}


def found(
    scores: Float[Tensor, "n n"],
    right: Bool[Tensor, "n n"],
    ks: Sequence[int] = KS,
    *,
    pictures: Float[Tensor, "n n"] | None = None,
) -> dict[str, Float[Tensor, " n"]]:
    """What each of n pairs adds to `retrieval`: the mean of each entry is the number of that name.

    `pictures` scores the pictures (columns) of each text (rows) where that is more than `scores`
    turned over: after re-ranking, each side has a short list of its own.
    """
    to_text = places(scores, right)
    to_picture = places(scores.T if pictures is None else pictures, right.T)
    return _named([(to_text < k).double() for k in ks], [(to_picture < k).double() for k in ks], ks)


def retrieval(
    scores: Float[Tensor, "n m"],
    right: Bool[Tensor, "n m"],
    ks: Sequence[int] = KS,
    *,
    pictures: Float[Tensor, "m n"] | None = None,
) -> dict[str, float]:
    """`tr@k`, `ir@k`, their `mean@k`, and `mean`, which is that of all; n pictures, m texts."""
    to_text = recall(scores, right, ks)
    to_picture = recall(scores.T if pictures is None else pictures, right.T, ks)
    return _named(list(to_text.values()), list(to_picture.values()), ks)


def shortlist(itc: Float[Tensor, "n m"], k: int) -> Int[Tensor, "n k"]:
    """The k best candidates of each row by cosine, best first, the earlier one where they are equal."""
    return itc.argsort(dim=1, descending=True, stable=True)[:, :k]


def wanted(itc: Float[Tensor, "n m"], k: int) -> Bool[Tensor, "n m"]:
    """The pairs on a short list of either side: what a matching head must be asked, each once."""
    rows, columns = (
        torch.zeros_like(side, dtype=torch.bool).scatter(1, shortlist(side, k), value=True) for side in (itc, itc.T)
    )
    return rows | columns.T


def rerank(itc: Float[Tensor, "n m"], itm_logit: Float[Tensor, "n m"], k: int) -> Float[Tensor, "n m"]:
    """Match logit + cosine on the short list, as BLIP scores it; what is not on it comes last.

    The reference fills the rest with -100, which a logit could fall below; here it is -inf. Logits
    outside the short list are not looked at.
    """
    short = shortlist(itc, k)
    final = itc.gather(1, short) + itm_logit.gather(1, short)
    return torch.full_like(itc, -torch.inf).scatter(1, short, final)


def _named(to_text: Sequence[Part], to_picture: Sequence[Part], ks: Sequence[int]) -> dict[str, Part]:
    values: dict[str, Part] = {}
    means: list[Part] = []
    for k, text, picture in zip(ks, to_text, to_picture, strict=True):
        means.append((text + picture) / 2)
        values |= {f"tr@{k}": text, f"ir@{k}": picture, f"mean@{k}": means[-1]}
    return values | {"mean": sum(means[1:], means[0]) / len(ks)}
