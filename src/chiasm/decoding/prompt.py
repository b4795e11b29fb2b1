"""How a text begins."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from chiasm.core.ability import Continues
from chiasm.core.types import Text


def read(model: Continues, seen: Float[Tensor, "b p c"], prompt: Text) -> tuple[Float[Tensor, "b v"], Any]:
    """Logits of every row's first new token, and the state that has read picture and prompt."""
    present = None if bool(prompt.mask.all()) else prompt.mask
    logits, state = model.speak(prompt.ids, model.recall(seen), present)
    return logits.float(), state


def opening(prompt: Text) -> Int[Tensor, "b t"]:
    """The prompt's tokens with its padding painted over, so that padding is not taken for something said."""
    return torch.where(prompt.mask, prompt.ids, prompt.ids[:, -1:])


def alone(token: int, rows: int, device: torch.device) -> Text:
    """Nothing but the token that opens a text, in every row."""
    ids = torch.full((rows, 1), token, device=device)
    return Text(ids, torch.ones_like(ids, dtype=torch.bool))
