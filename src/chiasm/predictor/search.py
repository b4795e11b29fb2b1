"""Retrieval in two steps (arXiv:2107.07651, section 5.1), in the order that the model gives to what is left.

query ──────┬─ embed ─ cosine ─ the best k ─ match logit (ALBEF), and cosine (BLIP)
candidates ─┘

A model that only compares, such as CLIP, takes the first step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chiasm.core.ability import Picture
from chiasm.data.clips import together
from chiasm.objectives.contrastive import cosines
from chiasm.predictor.abilities import Compares, Orders
from chiasm.predictor.reader import Reader, slices, whole


@dataclass(frozen=True)
class Found:
    """Candidates on the short list: where each stood, and how good it is."""

    places: Int[Tensor, " k"]
    scores: Float[Tensor, " k"]


def pictures_for(
    text: str, pictures: Sequence[Picture], module: Compares, reader: Reader, *, k: int, batch: int
) -> Found:
    """Each picture is read once, and forgotten as soon as `k` others are nearer to the text."""
    query = reader.read([text])
    vector = module.embed_text(query)
    cosine, places, kept = vector.new_empty(0), query.ids.new_empty(0), list[Tensor]()
    frames = together(pictures)
    for rows, seen in reader.see(pictures, batch):
        cosine = torch.cat([cosine, cosines(module.embed_seen(whole(seen, frames)), vector).squeeze(1)])
        places = torch.cat([places, torch.arange(rows.start, rows.stop, device=places.device)])
        best = _best(cosine, k)
        cosine, places, kept = cosine[best], places[best], [torch.cat([*kept, seen])[best]]
    if not isinstance(module, Orders):
        return Found(places, cosine.float())
    (states,), logits = kept, list[Tensor]()
    for seen in states.split(batch):
        each = torch.arange(len(seen), device=places.device)
        logits.append(module.match(seen, query[torch.zeros_like(each)], each))
    return Found(places, module.order(torch.cat(logits)[:, 1].float(), cosine.float()))


def texts_for(picture: Picture, texts: Sequence[str], module: Compares, reader: Reader, *, k: int, batch: int) -> Found:
    """The picture is read once."""
    ((_, seen),) = reader.see([picture], 1)
    vectors = module.embed_seen(whole(seen, together([picture])))
    cosine = cosines(vectors, reader.embed_texts(module, texts, batch)).squeeze(0)
    places = _best(cosine, k)
    if not isinstance(module, Orders):
        return Found(places, cosine[places].float())
    order: list[int] = places.tolist()
    short = [texts[i] for i in order]
    logits, judge = list[Tensor](), module.pairing(seen)
    for rows in slices(len(short), batch):
        text = reader.read(short[rows])
        logits.append(judge(text, places.new_zeros(len(text))))
    return Found(places, module.order(torch.cat(logits)[:, 1].float(), cosine[places].float()))


def _best(cosine: Float[Tensor, " n"], k: int) -> Int[Tensor, " k"]:
    """The nearest first; of equals, those that came first."""
    return cosine.argsort(descending=True, stable=True)[:k]
