"""Choosing among known answers by InstructBLIP, ours against transformers, on the same weights.

    python bench/ranking.py [--dtype bf16] [--candidates 64]      # prints lines of the table that docs/speed.md holds

A tower of 8 layers at 224 pixels, a Q-Former of 6 with 32 queries, and a LLaMA of 8, all 512 wide. A candidate's score
is the summed log-probability of its tokens and of the end. Ours reads picture and prompt once, and a
beginning that candidates share once. Theirs is asked in two ways: a whole forward for each candidate; and, as the
released code does it, the picture seen once, and all candidates in one batch, each behind the whole prompt.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from timing import DTYPES, Contest, asked, near, table
from torch import Tensor
from transformers import InstructBlipConfig, InstructBlipForConditionalGeneration

import chiasm
from chiasm.archetypes.spliced import PICTURES, SplicedLM
from chiasm.core.types import Instructed, Prompt, Text, Wording
from chiasm.data.text import padded
from chiasm.decoding.ranking import rank

DIM, HEADS, QUERIES, PLACE, END, PAD, ASKED = 512, 8, 32, 4, 2, 0, 24
SIZES = {"hidden_size": DIM, "num_attention_heads": HEADS}
VISION = {**SIZES, "intermediate_size": 4 * DIM, "num_hidden_layers": 8, "patch_size": 16, "initializer_range": 0.05}
READS = {
    **SIZES,
    "intermediate_size": 4 * DIM,
    "num_hidden_layers": 6,
    "encoder_hidden_size": DIM,
    "vocab_size": 30_523,
}
SPEAKS = {
    **SIZES, "model_type": "llama", "intermediate_size": 1376, "num_hidden_layers": 8, "vocab_size": 32_000,
    "initializer_range": 0.05, "bos_token_id": END, "eos_token_id": END, "pad_token_id": PAD,
}  # fmt: skip
Candidates = list[list[int]]


@dataclass(frozen=True)
class Race:
    """One question about one picture, and what may be answered; the picture is seen anew by every side."""

    theirs: Any
    ours: SplicedLM
    picture: Tensor
    question: Tensor
    candidates: Candidates

    @property
    def prompt(self) -> Prompt:
        place = torch.full((1, 1), Wording.place(0))
        return Prompt(_all(torch.cat([place, self.question], dim=1)), _all(self.question))

    def tree(self) -> Tensor:
        """Ours."""
        given, teller = self.ours.listen({PICTURES: self.ours.see(self.picture)[:, None]}, self.prompt)
        (ranked,) = rank(teller, given, _all(self.question[:, :0]), self.candidates, k=len(self.candidates))
        scores = dict(zip(ranked.places, ranked.scores, strict=True))
        return torch.tensor([scores[place] for place in range(len(self.candidates))])

    def losses(self) -> Tensor:
        """Ours, with a loss for each."""
        said = (_all(torch.tensor([[*words, END]])) for words in self.candidates)
        batches = (Instructed({PICTURES: self.picture[:, None]}, self.prompt, text) for text in said)
        return torch.stack([-self.ours(batch)["language"] * batch.said.ids.numel() for batch in batches])

    def each(self) -> Tensor:
        """Theirs, with a forward for each."""
        return torch.cat([self._them([words], pixel_values=self.picture) for words in self.candidates])

    def together(self) -> Tensor:
        """Theirs, with the picture seen once and one forward for all."""
        seen = self.theirs.get_image_features(self.picture, qformer_input_ids=self.question, return_dict=True)
        seen.pooler_output = seen.pooler_output.repeat(len(self.candidates), 1, 1)
        return self._them(self.candidates, pixel_values=None, mm_encoder_outputs={"image": seen})

    def _them(self, rows: Candidates, **shown: Any) -> Tensor:
        before = [*[PLACE] * QUERIES, *self.question[0].tolist()]
        said = padded([[*before, *words, END] for words in rows], PAD)
        logits = self.theirs(
            input_ids=said.ids, attention_mask=said.mask.long(), qformer_input_ids=self.question, **shown
        ).logits[:, len(before) - 1 : -1]
        gains = logits.float().log_softmax(dim=2).gather(2, said.ids[:, len(before) :, None])[..., 0]
        return (gains * said.mask[:, len(before) :]).sum(dim=1)


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, candidates=64)
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = _made(DTYPES[told.dtype], Path(folder))
    rng = torch.Generator().manual_seed(1)
    picture = torch.randn(1, 3, 224, 224, generator=rng).to(DTYPES[told.dtype])
    question = torch.randint(5, 30_000, (1, ASKED), generator=rng)
    race = Race(theirs, ours, picture, question, _candidates(told.candidates, rng))
    name = f"one question, {told.candidates} answers"
    contests = (
        Contest(f"{name}, theirs one by one", race.tree, race.each, near),
        Contest(f"{name}, theirs in one batch", race.tree, race.together, near),
        Contest(f"{name}, against our own one by one", race.tree, race.losses, near),
    )
    with torch.inference_mode():
        table(contests, dtype=told.dtype, rounds=told.rounds)


def _candidates(count: int, rng: torch.Generator) -> Candidates:
    """One to four tokens, of which the first are shared, as colours and numbers are."""
    lengths = torch.randint(1, 5, (count,), generator=rng).tolist()
    words = (torch.randint(5, 6 + count // 4, (length,), generator=rng).tolist() for length in lengths)
    return [[first, *(1000 + word for word in rest)] for first, *rest in words]


def _made(dtype: torch.dtype, folder: Path) -> tuple[Any, SplicedLM]:
    """Theirs, written to `folder`, and ours, read from there."""
    torch.manual_seed(0)
    config = InstructBlipConfig(
        vision_config=VISION, qformer_config=READS, text_config=SPEAKS, num_query_tokens=QUERIES,
        image_token_index=PLACE,
    )  # fmt: skip
    theirs = InstructBlipForConditionalGeneration(config).eval().requires_grad_(requires_grad=False)
    theirs.save_pretrained(folder)
    ours = chiasm.load(folder, device="cpu", dtype=dtype).module.requires_grad_(requires_grad=False)
    return theirs.to(dtype), cast(SplicedLM, ours)


def _all(ids: Tensor) -> Text:
    return Text(ids, torch.ones_like(ids, dtype=torch.bool))


if __name__ == "__main__":
    main()
