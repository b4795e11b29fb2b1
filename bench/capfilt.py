"""CapFilt of BLIP-base, from a JPEG's bytes to what is kept: ours, and the same job composed from transformers.

    python bench/capfilt.py [--dtype bf16]    # prints a line of the table that docs/speed.md holds

A captioner and a filter with random weights, greedy captions of 20 tokens; each picture's own text and its new one
are judged, and kept above a half. Theirs is what their documentation leads to: a processor, `generate`, and
`BlipForImageTextRetrieval` on the picture with both of its texts.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from peers import captioners, retrievers, write_words
from PIL import Image
from timing import DTYPES, Contest, asked, table
from transformers import BertTokenizerFast, BlipImageProcessorPil

import chiasm
from chiasm.bootstrap.describe import Models, describe
from chiasm.bootstrap.settings import Settings
from chiasm.data.pairs import Pair
from chiasm.data.text import clean
from chiasm.layouts.blip_lavis import MARKERS

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
HALF = 0.5
Kept = dict[str, list[float]]  # the picture -> how well its texts fit


def main() -> None:
    """Compare what comes out, take turns, print."""
    told = asked(__doc__, pictures=4)
    dtype = DTYPES[told.dtype]
    pairs = [_pair(i) for i in range(told.pictures)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        says, _ = captioners(folder, dtype=dtype)
        write_words(folder)
        judges, _ = retrievers(folder / "filter", dtype=dtype)
        vocabulary = folder / "vocab.txt"
        known = {
            name: chiasm.load(home, device="cpu", dtype=dtype, tokenizer=vocabulary)
            for name, home in (("captioner", folder), ("filter", folder / "filter"))
        }
        words = BertTokenizerFast.from_pretrained(place)
    settings = Settings(captioner="captioner", filter="filter", strategy="greedy")
    models = Models(settings, known.__getitem__)

    def us() -> Kept:
        rows = describe(pairs, models, settings)
        return {row.id: [row.web_itm or 0.0, *(said.itm or 0.0 for said in row.synthetic)] for row in rows}

    contest = Contest(f"CapFilt, {told.pictures} pictures", us, lambda: _them(pairs, says, judges, words), _agree)
    with torch.inference_mode():
        table([contest], dtype=told.dtype, rounds=told.rounds)


def _them(pairs: list[Pair], says: Any, judges: Any, words: Any) -> Kept:
    prepare = BlipImageProcessorPil(size={"height": 384, "width": 384})
    pictures = [Image.open(io.BytesIO(pair.image)).convert("RGB") for pair in pairs]
    pixels = prepare(pictures, return_tensors="pt")["pixel_values"].to(next(says.parameters()))
    said = says.generate(pixel_values=pixels, do_sample=False, max_new_tokens=20)
    new = words.batch_decode(said, skip_special_tokens=True)
    kept: Kept = {}
    for pair, picture, text in zip(pairs, pixels, new, strict=True):
        both = words([clean(pair.text), clean(text)], padding=True, return_tensors="pt")
        logits = judges(pixel_values=picture.expand(2, -1, -1, -1), **_two(both)).itm_score
        kept[pair.id] = logits.float().softmax(dim=1)[:, 1].tolist()
    return kept


def _two(read: Any) -> dict[str, Any]:
    ids = read["input_ids"].clone()
    ids[:, 0] = MARKERS.enc  # as BLIP was trained; their class leaves it to the caller
    return {"input_ids": ids, "attention_mask": read["attention_mask"]}


def _agree(ours: Kept, theirs: Kept) -> str:
    """The preparation of pictures differs by a level of 255 here and there, so scores do a little."""
    scores = np.array([*ours.values()]), np.array([*theirs.values()])
    far = float(np.abs(scores[0] - scores[1]).max())
    same = ((scores[0] > HALF) == (scores[1] > HALF)).mean()
    return f"probabilities at most {far:.0e} apart, {same:.0%} of decisions alike"


def _pair(i: int) -> Pair:
    path = Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[i % len(PHOTOGRAPHS)]
    picture = Image.open(path).convert("RGB").resize((500 + i // len(PHOTOGRAPHS), 375))
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=90)
    return Pair(f"p{i}", sink.getvalue(), " ".join(f"w{1000 + 7 * i + k}" for k in range(9)), {})


if __name__ == "__main__":
    main()
