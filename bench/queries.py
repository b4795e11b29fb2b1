"""What BLIP-2 sees with: ViT-g and the Q-Former, ours against transformers, on the same weights.

    python bench/queries.py [--dtype bf16] [--jobs vit,look,match]      # prints lines of docs/speed.md's table

The sizes are those of the paper, but for ViT-g's depth: 4 of its 39 layers, since all are alike. Matching holds one
picture against texts of 8 to 20 tokens; transformers is given what it has seen, once for each text.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from match import captions
from timing import DTYPES, Contest, asked, near, table
from torch import Tensor
from transformers import Blip2Config, Blip2ForImageTextRetrieval

import chiasm
from chiasm.archetypes.queries import QueryRetriever

QUERIES, LAYERS = 32, 4


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, jobs="vit,look,match", pictures=2, texts=32)
    dtype = DTYPES[told.dtype]
    theirs, ours = _made(dtype)
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(told.pictures, 3, 224, 224, generator=rng)
    states = torch.randn(1, 257, 1408, generator=rng)
    contests = {
        "vit": lambda: _seen(ours, theirs, images, dtype),
        "look": lambda: _looked(ours, theirs, states.expand(8, -1, -1), dtype),
        "match": lambda: _matched(ours, theirs, states, told.texts, dtype),
    }
    with torch.inference_mode():
        table((contests[name]() for name in told.jobs.split(",")), dtype=told.dtype, rounds=told.rounds)


def _made(dtype: torch.dtype) -> tuple[Any, QueryRetriever]:
    torch.manual_seed(0)
    config = Blip2Config(
        vision_config={"num_hidden_layers": LAYERS},
        qformer_config={"use_qformer_text_input": True, "vocab_size": 30_523},
    )
    theirs = Blip2ForImageTextRetrieval(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours: Any = chiasm.load(Path(folder), device="cpu", dtype=dtype).module
    return theirs.to(dtype).requires_grad_(requires_grad=False), ours.requires_grad_(requires_grad=False)


def _seen(ours: QueryRetriever, theirs: Any, images: Tensor, dtype: torch.dtype) -> Contest:
    given, here = images.to(dtype), images.to(next(ours.parameters()))
    name = f"ViT-g, {LAYERS} of 39 layers, {len(images)} pictures"
    return Contest(name, lambda: ours.see(here), lambda: theirs.vision_model(given).last_hidden_state, near)


def _looked(ours: QueryRetriever, theirs: Any, states: Tensor, dtype: torch.dtype) -> Contest:
    given, here = states.to(dtype), states.to(next(ours.parameters()))
    queries = theirs.query_tokens.expand(len(states), -1, -1)

    def them() -> Tensor:
        return theirs.qformer(query_embeds=queries, query_length=QUERIES, encoder_hidden_states=given).last_hidden_state

    def us() -> Tensor:
        return ours.qformer.look(ours.qformer.recall(here)).states

    return Contest(f"Q-Former, {len(states)} pictures", us, them, near)


def _matched(ours: QueryRetriever, theirs: Any, states: Tensor, count: int, dtype: torch.dtype) -> Contest:
    text, here, rows = captions(count), states.to(next(ours.parameters())), torch.zeros(count, dtype=torch.long)
    given = states.to(dtype).expand(count, -1, -1)
    present = torch.cat([torch.ones(count, QUERIES, dtype=torch.long), text.mask.long()], dim=1)

    def them() -> Tensor:
        queries = theirs.query_tokens.expand(count, -1, -1)
        both = theirs.embeddings(input_ids=text.ids, query_embeds=queries)
        states = theirs.qformer(
            query_embeds=both, query_length=QUERIES, attention_mask=present, encoder_hidden_states=given
        ).last_hidden_state
        return theirs.itm_head(states[:, :QUERIES]).mean(dim=1)

    return Contest(f"Q-Former, one picture, {count} texts", lambda: ours.match(here, text, rows), them, near)


if __name__ == "__main__":
    main()
