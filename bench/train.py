"""Pictures a second of BLIP's full pre-training step (contrast + match + language), and where the time goes.

    python bench/train.py                     # prints the table that docs/speed.md holds

Each row runs alone, in fresh processes of one thread each, as the demo trains; the rows take turns and the
median of the rounds counts. "loader" is the share of a step that waits for data, in a real run on the made world.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.profiler import profile

from chiasm.archetypes.med import MED
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.nn.vit import SOONER, ConvStem
from chiasm.systems import blip
from chiasm.training import average
from chiasm.training.freeze import groups, set_mode
from chiasm.training.memory import keep_memory
from chiasm.training.optim import adamw, clip

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu", "flash_attention_for_cpu_backward"),
    "convolution": ("aten::mkldnn_convolution", "aten::convolution_backward"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "norms": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
}
# name -> (model, batch, keep freed memory)
ROWS = {
    "the pilot's model: width 128": ("first", 128, False),
    "the same, freed memory kept": ("first", 128, True),
    "tiny (the demo's): width 64": ("tiny", 64, False),
    "tiny, freed memory kept": ("tiny", 64, True),
    "mid: width 192, 64 pixels": ("mid", 64, True),
}


def main() -> None:
    """Take turns, print the table."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--worker", nargs=3)
    asked = ask.parse_args()
    if asked.worker:
        name, batch, keep = asked.worker
        print(json.dumps(measure(name, int(batch), keep=keep == "True")))
        return
    found: dict[str, list[list[dict[str, float]]]] = {row: [] for row in ROWS}
    for _ in range(asked.rounds):
        for row, work in ROWS.items():
            found[row].append(_together(work))
    print("| step | pictures a second, one core | both cores | spread |", "|---|---|---|---|", sep="\n")
    for row, rounds in found.items():
        one = [workers[0]["rate"] for workers in rounds]
        both = [sum(worker["rate"] for worker in workers) for workers in rounds]
        spread = (max(both) - min(both)) / statistics.median(both)
        print(f"| {row} | {statistics.median(one):.0f} | {statistics.median(both):.0f} | {spread:.0%} |")
    print("\n| where a step's time goes |", " | ".join(KINDS), "| the rest | loader |", sep="")
    print("|---" * (len(KINDS) + 3) + "|")
    for row, rounds in found.items():
        shares = {kind: statistics.median(workers[0][kind] for workers in rounds) for kind in [*KINDS, "loader"]}
        rest = 1 - sum(shares[kind] for kind in KINDS)
        print(
            f"| {row} |",
            " | ".join(f"{shares[kind]:.0%}" for kind in KINDS),
            f"| {rest:.0%} | {shares['loader']:.1%} |",
        )


def _together(work: tuple[str, int, bool]) -> list[dict[str, float]]:
    """One process a core, at the same time."""
    words = [sys.executable, __file__, "--worker", *map(str, work)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]  # noqa: S603 - ourselves
    return [json.loads(one.communicate()[0]) for one in running]


def measure(name: str, batch: int, *, keep: bool) -> dict[str, float]:
    """The rate of one process, the shares of its time, and what it waits for data."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if keep:
        keep_memory()
    step, waited = step_of(name, batch)
    for _ in range(4):
        step()
    waited.clear()
    times = [_timed(step) for _ in range(25)]
    with profile() as seen:
        for _ in range(3):
            step()
    events = seen.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    shares = {
        kind: sum(event.self_cpu_time_total for event in events if event.key.endswith(ends)) / total
        for kind, ends in KINDS.items()
    }
    seconds = statistics.median(times)
    return {"rate": batch / seconds, "loader": statistics.median(waited[:25]) / seconds, **shares}


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def step_of(name: str, batch: int) -> tuple[Callable[[], None], list[float]]:
    """A step of the model of that name on the made world, and what each waited for its batch."""
    config = _config(name)
    size = config.retriever.vision.image
    source = open_source(f"world:single?count=2000&noise=0.5&pixels={size}")
    words = Tokenizer.train((source[i].text for i in range(len(source))), vocab=512)
    images = ImageProcessor(Pixels(size=size, mean=CLIP_MEAN, std=CLIP_STD))
    loader = PairLoader(source, images, words, batch=batch, seed=0)
    model = config.fitted(words.vocab, words.markers).build()
    for _ in range(loader.epoch_steps + 1):  # every picture drawn and decoded once, as after a first epoch
        next(loader)
    optimizer = adamw(groups(model, blip.SYSTEM.stage("pretrain"), weight_decay=0.05), betas=(0.9, 0.98))
    set_mode(model)
    learns, waited = list(model.parameters()), list[float]()

    def step() -> None:
        start = time.perf_counter()
        taken = next(loader)
        waited.append(time.perf_counter() - start)
        losses = torch.stack(list(model(taken).values()))
        losses.sum().backward()
        average.average(learns, losses.detach())
        clip(learns, limit=1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, waited


def _config(name: str) -> MED.Config:
    """The demo's model, the pilot's that came before it, or something four times larger."""
    towers, width = blip.tiny(SOONER).retriever, {"tiny": 64, "first": 128, "mid": 192}[name]
    depth, layers = {"tiny": (2, 2), "first": (3, 2), "mid": (4, 3)}[name]
    vision = replace(
        towers.vision,
        dim=width,
        depth=depth,
        heads=width // 32,
        image=64 if name == "mid" else 32,
        stem=ConvStem(widths=(width // 4, width // 2, width)),
    )
    text = replace(towers.text, dim=width, image_dim=width, depth=layers, heads=width // 32, reads=tuple(range(layers)))
    return replace(blip.tiny(SOONER), retriever=replace(towers, vision=vision, text=text))


if __name__ == "__main__":
    main()
