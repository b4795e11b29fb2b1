"""Prefix language modelling: read how a text begins, say how it goes on (BLIP-2, arXiv:2301.12597, section 3.3).

a red ball [end] ·       a · ·          red ball [end]
two dogs run [end]   →   two dogs ·     run [end] ·
"""

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.types import Text


def cut(text: Text, noise: Float[Tensor, " b"], *, pad: int) -> tuple[Text, Text]:
    """What is read, and what has to be said: every text in two, cut anywhere between its tokens, equally often.

    `noise` is uniform in [0, 1), a number a text. Texts are padded on the right, and so is what they become.
    """
    lengths = text.mask.sum(dim=1)
    if (short := (lengths < 2).nonzero().flatten()).numel():
        raise ValueError(f"text {int(short[0])} has 1 token, and needs 2 to be cut: leave empty texts out")
    places = torch.arange(text.ids.shape[1], device=text.ids.device)[None]
    at = 1 + (noise * (lengths - 1)).long()
    begins, rest = places < at[:, None], places < (lengths - at)[:, None]
    after = text.ids.gather(1, (places + at[:, None]).clamp(max=text.ids.shape[1] - 1))
    return Text(text.ids.masked_fill(~begins, pad), begins), Text(after.masked_fill(~rest, pad), rest)
