"""Vectors of pictures, sounds and shapes among vectors of words.

    tokens    [pad] what is  -1  doing  -1  ?         -1 - i: a place for sense i
    shown     image image image · image image image
    given     · · what is image image image doing image image image ?

Every place becomes as many vectors as its sense gives of one thing; rows grow by different amounts, and
are padded on the left.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from chiasm.core.types import Text, Wording

Shown = Mapping[str, Float[Tensor, "_ _ d"] | Sequence[Float[Tensor, "_ d"]]]


def splice(
    words: Float[Tensor, "b t d"], text: Text, shown: Shown, senses: Sequence[str]
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """The vectors of words with those of what is `shown` in their places, and True where something stands.

    `shown` has the vectors of everything, by sense, in the order of the places, of each thing as many or not; `senses`
    names all that the numbers of places stand for. What is behind `words` where a place is does not matter.
    """
    starts, lengths = _sources(text, shown, senses)
    lengths = lengths * text.mask
    totals = lengths.sum(dim=1)
    width = int(totals.max()) if len(totals) else 0
    flat = lengths.flatten()
    within = torch.arange(int(flat.sum()), device=flat.device) - (flat.cumsum(0) - flat).repeat_interleave(flat)
    things = [thing.to(words) for name in senses for thing in shown.get(name, ())]
    source = torch.cat([words.flatten(0, 1), *things])
    present = torch.arange(width, device=flat.device) >= width - totals[:, None]
    given = words.new_zeros(*present.shape, words.shape[-1])
    return given.masked_scatter(present[..., None], source[starts.flatten().repeat_interleave(flat) + within]), present


def places(text: Text, sense: int, name: str, count: int) -> Bool[Tensor, "b t"]:
    """Where the text has a place for that sense; raises where there are not as many as things to be shown."""
    here = (text.ids == Wording.place(sense)) & text.mask
    if (wanted := int(here.sum())) != count:
        raise ValueError(f"the prompts have {wanted} places for {name}, but {count} of that kind were given")
    return here


def _sources(text: Text, shown: Shown, senses: Sequence[str]) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
    """For every token, the number of its first vector among all, those of words first; and how many it has."""
    if unknown := shown.keys() - set(senses):
        raise ValueError(f"the model has no sense for {', '.join(sorted(unknown))}: it has {', '.join(senses)}")
    starts = torch.arange(text.ids.numel(), device=text.ids.device).view_as(text.ids)
    lengths, passed = torch.ones_like(starts), text.ids.numel()
    for number, name in enumerate(senses):
        own = torch.tensor([len(thing) for thing in shown.get(name, ())], dtype=starts.dtype, device=starts.device)
        here = places(text, number, name, len(own))
        lengths[here] = own
        starts[here] = passed + own.cumsum(0) - own
        passed += int(own.sum())
    return starts, lengths
