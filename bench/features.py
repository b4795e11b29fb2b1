"""Training a connector between a frozen tower and a frozen language model: the tower's states kept on the disk, or not.

    OMP_NUM_THREADS=1 python bench/features.py [--rounds 5] [--rows 4]

ViT-B/16 at 224 pixels, a Q-Former of BERT-base, a LLaMA of 12 layers of 768. Both sides learn from the same pictures in
the same order, and take turns; the first step of each is compared and not counted. What counts is the processor's time
of a step, decoding included: from memory on both sides.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from timing import asked

from chiasm.archetypes.spliced import SplicedLM, seeing
from chiasm.core.types import Pixels, Wording
from chiasm.data.features import Recalled, Remembered
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Instructions
from chiasm.data.loader import PairLoader
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.nn import decoders, qformer
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.vit import PatchStem, ViT

WORDING = Wording(start=2, close=None, end=3, pad=0)
PIXELS = Pixels(size=224, mean=CLIP_MEAN, std=CLIP_STD)


def main() -> None:
    """An epoch each to look and to decode, then turns."""
    told = asked(__doc__, rows=4)
    words, images = Tokenizer.builtin(), ImageProcessor(PIXELS)
    model, pairs = _model(words.vocab), open_source(f"world:single?count={2 * told.rows}&pixels=224")
    form = Instructions(Prompter(words, WORDING, {"image": ""}))
    with tempfile.TemporaryDirectory() as folder:
        kept = Remembered(Path(folder), pairs, images)
        plain = PairLoader(pairs, images, words, batch=told.rows, seed=0, form=form)
        again = PairLoader(pairs, kept, words, batch=told.rows, seed=0, form=Recalled(form))
        again.watch(model)
        spent: dict[str, list[float]] = {"pictures": [], "states": []}
        for number in range(2 + told.rounds):
            torch.testing.assert_close(_step(model, plain, spent["pictures"]), _step(model, again, spent["states"]))
            if number < 2:  # the epoch in which everything is looked at
                spent = {name: [] for name in spent}
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    middle = {name: statistics.median(times) for name, times in spent.items()}
    ratios = [one / other for one, other in zip(*spent.values(), strict=True)]
    print("| a step | from pictures | from kept states | ratio | in all rounds | a picture on the disk |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {told.rows} rows | {middle['pictures']:.2f} s | {middle['states']:.2f} s | "
        f"{middle['pictures'] / middle['states']:.2f} | {min(ratios):.2f} to {max(ratios):.2f} | "
        f"{size / len(pairs) / 1e6:.2f} MB |"
    )


def _model(vocab: int) -> SplicedLM:
    torch.manual_seed(0)
    tower = ViT.Config(dim=768, depth=12, heads=12, image=224, stem=PatchStem(patch=16))
    lm = decoders.llama(dim=768, depth=12, heads=12, hidden=2048, vocab=vocab)
    model = seeing(tower, QFormerConnector.Config(qformer=qformer.base(768)), lm, WORDING).build().eval()
    model.requires_grad_(requires_grad=False)
    model.senses["image"].connector.requires_grad_(requires_grad=True)
    return model


def _step(model: SplicedLM, loader: PairLoader, spent: list[float]) -> torch.Tensor:
    batch = next(loader)
    before = time.process_time()
    loss = model(batch)["language"]
    loss.backward()
    model.zero_grad()
    spent.append(time.process_time() - before)
    return loss.detach()


if __name__ == "__main__":
    main()
