"""InfoNCE of a large batch, both ways, there and back: ours in tiles, CLIP's in transformers with the whole matrix.

    python bench/contrast.py [--batch 16384]  # prints a line of the table that docs/speed.md holds

Both get unit vectors and a scale of 20. Memory is the most that a process of its own held, less what it held before.
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
from timing import asked, seconds
from torch import Tensor
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from chiasm.objectives.tiled import contrast_pairs

SCALE = 20.0


def main() -> None:
    """Each run in a process of its own; they take turns."""
    told = asked(__doc__, batch=16_384, dim=256, who="")
    if told.who:
        print(json.dumps(measure(told.who, told.batch, told.dim)))
        return
    words = [sys.executable, __file__, "--batch", str(told.batch), "--dim", str(told.dim), "--who"]
    runs = [tuple(_run([*words, who]) for who in ("chiasm", "transformers")) for _ in range(told.rounds)]
    ours, theirs = (sorted(side, key=lambda run: run["seconds"])[told.rounds // 2] for side in zip(*runs, strict=True))
    ratios = sorted(other["seconds"] / own["seconds"] for own, other in runs)
    far = max(abs(ours[what] / theirs[what] - 1) for what in ("loss", "gradient"))
    if far > 1e-4:
        raise SystemExit(f"the two do not agree: {ours} and {theirs}")
    print(
        "| InfoNCE | chiasm | transformers | ratio | in all rounds | memory | ratio | results |",
        "|---" * 8 + "|",
        sep="\n",
    )
    print(
        f"| {told.batch:,} x {told.dim}, fp32 | {ours['seconds']:.1f} s | {theirs['seconds']:.1f} s "
        f"| **{ratios[told.rounds // 2]:.2f}** | {ratios[0]:.2f} - {ratios[-1]:.2f} "
        f"| {ours['memory']:.0f} and {theirs['memory']:,.0f} MB | **{theirs['memory'] / ours['memory']:.0f}** "
        f"| loss and gradient {far:.0e} apart |"
    )


def measure(who: str, batch: int, dim: int) -> dict[str, float]:
    """The time and the memory of a step of one side."""
    torch.manual_seed(0)
    image = F.normalize(torch.randn(batch, dim), dim=1).requires_grad_()
    text = F.normalize(image.detach() + 0.1 * torch.randn(batch, dim), dim=1).requires_grad_()
    identity, found = torch.arange(batch), list[Tensor]()

    def step() -> None:
        scaled = SCALE * image
        loss = (
            contrast_pairs(scaled, text, identity) if who == "chiasm" else image_text_contrastive_loss(scaled @ text.T)
        )
        loss.backward()
        found.append(loss.detach())

    before = _peak()
    spent = seconds(step)
    assert image.grad is not None  # noqa: S101 - for the type checker
    return {"seconds": spent, "memory": _peak() - before, "loss": found[0].item(), "gradient": image.grad.norm().item()}


def _run(words: list[str]) -> dict[str, float]:
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ourselves


def _peak() -> float:
    """Megabytes; Linux alone tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
