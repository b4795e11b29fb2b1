"""What a model makes of pictures and words before any head has looked at it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from chiasm.core.ability import Picture, Reads
from chiasm.predictor import inputs
from chiasm.predictor.abilities import Fuses
from chiasm.predictor.reader import Reader, slices


def states(
    reader: Reader, pictures: Sequence[Picture] | None, texts: Sequence[str] | None, *, batch: int
) -> dict[str, Tensor] | None:
    """`images`, `texts` with their `mask`, and `fusion`, as far as asked for; None if texts cannot be read alone."""
    found = dict[str, Tensor]()
    pairs = 0 if pictures is None or texts is None else inputs.pairs(len(pictures), len(texts))
    if pictures is not None:
        found["images"] = torch.cat([seen for _, seen in reader.see(pictures, batch)])
    if texts is None:
        return found
    module, text = reader.module, reader.read(texts)
    if not isinstance(module, Reads):
        return None
    found["texts"] = torch.cat([module.read(text[rows]) for rows in slices(len(text), batch)])
    found["mask"] = text.mask[:, -found["texts"].shape[1] :]  # ALBEF reads no [SEP]: a state less, a token less
    if pictures is not None and isinstance(module, Fuses):
        index = torch.arange(pairs, device=text.ids.device)
        seen, words = found["images"][index % max(1, len(pictures))], text[index % max(1, len(text))]
        fused = [module.fuse(seen[rows], words[rows]) for rows in slices(pairs, batch)]
        found["fusion"] = torch.cat(fused)
    return found
