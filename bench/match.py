"""Re-ranking: one picture held against many texts by BLIP-base, ours against transformers, on the same weights.

    python bench/match.py [--dtype bf16]      # prints a line of the table that docs/speed.md holds

Texts of transformers are padded to the longest of them, as its tokenizer does. The picture has been seen before on
both sides: `BlipForImageTextRetrieval` would see it once more for every text.
"""

import tempfile
from pathlib import Path

import torch
from peers import ENC, END, retrievers
from timing import DTYPES, Contest, asked, near, table
from torch import Tensor

from chiasm.core.types import Text
from chiasm.layouts.blip_lavis import MARKERS


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, texts=128)
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = retrievers(Path(folder), dtype=DTYPES[told.dtype])
    text, rows = captions(told.texts), torch.zeros(told.texts, dtype=torch.long)
    seen = torch.randn(1, 577, 768, generator=torch.Generator().manual_seed(1)).to(DTYPES[told.dtype])
    asking, given = text.opened_by(ENC), seen.to(next(ours.parameters()))

    def them() -> Tensor:
        states = theirs.text_encoder(
            input_ids=asking.ids,
            attention_mask=asking.mask.long(),
            encoder_hidden_states=seen.expand(len(text), -1, -1),
            encoder_attention_mask=torch.ones(len(text), seen.shape[1], dtype=torch.long),
        ).last_hidden_state
        return theirs.itm_head(states[:, 0])

    name = f"one picture, {told.texts} texts of {text.mask.sum() / len(text):.1f} tokens in the mean"
    contest = Contest(name, lambda: ours.match(given, text, rows), them, near)
    with torch.inference_mode():
        table([contest], dtype=told.dtype, rounds=told.rounds)


def captions(count: int) -> Text:
    """Random words in captions as long as people's: 8 to 20 tokens, about 12 in the mean."""
    generator = torch.Generator().manual_seed(0)
    lengths = 8 + torch.binomial(torch.full((count,), 12.0), torch.full((count,), 0.36), generator=generator).long()
    order = torch.arange(int(lengths.max()))
    ids = torch.randint(1000, 20_000, (count, len(order)), generator=generator)
    ids = torch.where(order == lengths[:, None] - 1, END, ids).masked_fill(order >= lengths[:, None], MARKERS.pad)
    ids[:, 0] = MARKERS.cls
    return Text(ids, order < lengths[:, None])


if __name__ == "__main__":
    main()
