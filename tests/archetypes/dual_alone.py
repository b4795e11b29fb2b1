"""What one of two ranks learns: `dual_alone.py FOLDER`, with torchrun's variables in the environment."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from chiasm.archetypes.dual import DualEncoder
from chiasm.core import ranks
from chiasm.core.types import ImageText, Text
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, ViT

CFG = DualEncoder.Config(
    vision=ViT.Config(dim=16, depth=2, heads=2, image=8, stem=NormedStem(patch=4), eps=1e-5, std=0.3),
    text=TextTower.Config(vocab=30, dim=16, depth=2, heads=2, max_len=9),
    embed=8,
)


def model() -> DualEncoder:
    torch.manual_seed(0)
    return CFG.build()


def batch(rows: slice = slice(None)) -> ImageText:
    """Six pairs, two of which mean the same and lie on different ranks."""
    rng = torch.Generator().manual_seed(0)
    ids, lengths = torch.randint(1, 30, (6, 8), generator=rng), torch.tensor([8, 3, 5, 2, 8, 6])
    mask = torch.arange(8)[None] < lengths[:, None]
    images, identity = torch.randn(6, 3, 8, 8, generator=rng), torch.tensor([0, 1, 2, 3, 1, 5])
    return ImageText(images[rows], Text(ids[rows], mask[rows]), identity[rows])


def main() -> None:
    dist.init_process_group("gloo")
    first = 3 * ranks.rank()
    learner = model()
    loss = learner(batch(slice(first, first + 3)))["contrast"]
    loss.backward()
    gradients = {name: weight.grad for name, weight in learner.named_parameters()}
    torch.save({"loss": loss.detach(), "gradients": gradients}, Path(sys.argv[1]) / str(ranks.rank()))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
