"""A captioner learns by LoRA for a few steps: `detours.py FOLDER`, in one process or as one of several."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from chiasm.core.types import Pixels
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.systems import blip
from chiasm.training.adapters import LoRA
from chiasm.training.run import Run
from chiasm.training.together import together
from chiasm.training.train import train


def main(folder: Path) -> None:
    """Leaves behind what each step told, and the merged weights."""
    torch.set_num_threads(1)
    words, pixels = Tokenizer.builtin(), Pixels(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    source = open_source("world:single?count=40")
    run = Run(
        name="caption",
        system="blip",
        preset="tiny-caption",
        stage=replace(blip.SYSTEM.stage("caption"), inherit={}, train={"vision": 1.0, "decoder": 1.0}),
        model=blip.captioner(blip.tiny().fitted(words.vocab, words.markers)),
        data=lambda: PairLoader(source, ImageProcessor(pixels), words, batch=12, seed=0),
        adapter=LoRA(rank=3),
        pixels=pixels,
        tokenizer=words,
        steps=6,
        lr=1e-2,
        warmup=2,
    )
    told: list[list[float]] = []
    with together():
        model = train([run], folder / "run", on_step=lambda step: told.append([step.total, step.norm, step.pictures]))
        torch.save({"told": torch.tensor(told), **model.state_dict()}, folder / os.environ.get("RANK", "0"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
