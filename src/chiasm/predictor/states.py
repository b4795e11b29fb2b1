"""What a model makes of pictures and words before any head has looked at it.

images ──── what the tower saw ─┬─ queries     of a Q-Former, alone with the picture
                                ├─ fusion      words of a text, or queries, that met the picture, or both
texts, mask ─ words alone ──────┘
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.core.ability import Instructs, Picture, Reads
from chiasm.core.types import Text
from chiasm.data.clips import together
from chiasm.predictor import inputs
from chiasm.predictor.abilities import Fuses, Looks
from chiasm.predictor.reader import Reader, slices


def states(
    reader: Reader, pictures: Sequence[Picture] | None, texts: Sequence[str] | None, *, batch: int
) -> dict[str, Tensor] | None:
    """As many of them as there are of what is asked for; None if the texts cannot be read."""
    found, module = dict[str, Tensor](), reader.module
    pairs = 0 if pictures is None or texts is None else inputs.pairs(len(pictures), len(texts))
    if pictures is not None:
        found["images"] = torch.cat([seen for _, seen in reader.see(pictures, batch)])
        if isinstance(module, Looks):
            found |= _looked(module, found["images"], together(pictures), batch)
    if texts is None:
        return found
    if isinstance(module, Reads):
        text = reader.read(texts)
        found["texts"] = torch.cat([module.read(text[rows]) for rows in slices(len(text), batch)])
        found["mask"] = text.mask[:, -found["texts"].shape[1] :]  # ALBEF reads no [SEP]: a state less, a token less
    elif isinstance(module, Instructs) and module.hinted and pictures is not None:
        text = reader.hint(module, texts)
    else:
        return None
    if pictures is not None and isinstance(module, Fuses):
        index = torch.arange(pairs, device=text.ids.device)
        seen, words = found["images"][index % max(1, len(pictures))], text[index % max(1, len(text))]
        frames = together(pictures) if isinstance(module, Instructs) else 1  # others read all of a clip at once
        fused = [_fused(module, seen[rows], words[rows], frames) for rows in slices(pairs, batch)]
        found["fusion"] = torch.cat(fused)
    return found


def _looked(module: Looks, seen: Float[Tensor, "b p c"], frames: int, batch: int) -> dict[str, Tensor]:
    looked = [module.look(_apart(seen[rows], frames)) for rows in slices(len(seen), batch)]
    states = [one for one in looked if one is not None]
    return {"queries": _in_a_row(torch.cat(states), frames)} if states else {}


def _fused(module: Fuses, seen: Float[Tensor, "b p c"], text: Text, frames: int) -> Float[Tensor, "b n d"]:
    rows = torch.arange(len(text), device=text.ids.device).repeat_interleave(frames)
    return _in_a_row(module.fuse(_apart(seen, frames), text[rows]), frames)


def _apart(seen: Float[Tensor, "b p c"], frames: int) -> Float[Tensor, "n f c"]:
    """Every frame by itself."""
    return seen.unflatten(1, (frames, -1)).flatten(0, 1) if frames > 1 else seen


def _in_a_row(states: Float[Tensor, "n f d"], frames: int) -> Float[Tensor, "b q d"]:
    """Those of a clip's frames one after the other."""
    return states.unflatten(0, (-1, frames)).flatten(1, 2) if frames > 1 else states
