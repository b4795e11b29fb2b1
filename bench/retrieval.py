"""Retrieval with re-ranked short lists, both ways: ours, and the loop of BLIP's evaluation around transformers.

    python bench/retrieval.py                 # prints a line of the table that docs/speed.md holds

All pictures and texts of a small test set are embedded; then the matching head orders the short list of each. Their
loop takes a picture and its texts, then a text and its pictures, and reads a picture anew in every pair. Ours asks each
pair once, and reads each picture once. The picture encoder, which works alike on both sides, is left out.
"""

import tempfile
from pathlib import Path

import torch
from match import captions
from peers import ENC, retrievers
from timing import DTYPES, Contest, asked, table
from torch import Tensor

from chiasm.evaluation.retrieval import rerank, shortlist, wanted

Scores = tuple[Tensor, Tensor]


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, pairs=12, k=8)
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = retrievers(Path(folder), dtype=DTYPES[told.dtype])
    text, k = captions(told.pairs), told.k
    seen = torch.randn(told.pairs, 577, 768, generator=torch.Generator().manual_seed(1)).to(DTYPES[told.dtype])
    asking, one = text.opened_by(ENC), torch.zeros(told.pairs, dtype=torch.long)
    given = seen.to(next(ours.parameters()))

    def us() -> Scores:
        cosine = ours.embed_seen(given) @ ours.embed_text(text).T
        logits = torch.zeros_like(cosine)
        for i, row in enumerate(wanted(cosine, k)):
            logits[i, row] = ours.match(given[i : i + 1], text[row], one[: row.sum()])[:, 1]
        return rerank(cosine, logits, k), rerank(cosine.T, logits.T, k)

    def match(states: Tensor, rows: Tensor) -> Tensor:
        read = theirs.text_encoder(
            input_ids=asking.ids[rows],
            attention_mask=asking.mask[rows].long(),
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long),
        )
        return theirs.itm_head(read.last_hidden_state[:, 0])[:, 1]

    def them() -> Scores:
        read = theirs.text_encoder(input_ids=text.ids, attention_mask=text.mask.long()).last_hidden_state
        texts = torch.nn.functional.normalize(theirs.text_proj(read[:, 0]), dim=-1)
        cosine = torch.nn.functional.normalize(theirs.vision_proj(seen[:, 0]), dim=-1) @ texts.T
        found = torch.full_like(cosine, -torch.inf), torch.full_like(cosine.T, -torch.inf)
        for i, row in enumerate(shortlist(cosine, k)):
            found[0][i, row] = match(seen[i].expand(len(row), -1, -1), row) + cosine[i, row]
            column = shortlist(cosine.T, k)[i]
            found[1][i, column] = match(seen[column], torch.full_like(column, i)) + cosine[column, i]
        return found

    name = f"retrieval, {told.pairs} x {told.pairs}, short lists of {k}"
    with torch.inference_mode():
        table([Contest(name, us, them, _agree)], dtype=told.dtype, rounds=told.rounds)


def _agree(ours: Scores, theirs: Scores) -> str:
    listed = [side.isfinite() for side in theirs]
    far = max((a - b)[on].abs().max().item() for a, b, on in zip(ours, theirs, listed, strict=True))
    if far > 1e-4 and theirs[0].dtype == torch.float32:
        raise SystemExit(f"the two do not agree: {far:.1e} apart")
    return f"scores {far:.0e} apart"


if __name__ == "__main__":
    main()
