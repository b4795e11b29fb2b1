"""What one of two ranks learns of texts: `language_alone.py FOLDER`, with torchrun's variables in the environment."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from chiasm.archetypes.language_model import LanguageModel
from chiasm.core import ranks
from chiasm.core.types import Text, Worded
from chiasm.nn.decoder import DecoderLM, Gated, Head
from chiasm.nn.grouped import Biases
from chiasm.nn.norm import RMSNorm
from chiasm.nn.position import Rotary

CFG = LanguageModel.Config(
    lm=DecoderLM.Config(
        vocab=23, dim=16, depth=2, heads=4, kv_heads=2, position=Rotary(max_len=16), norm=RMSNorm.Config(),
        mlp=Gated(hidden=24), biases=Biases.NONE, head=Head.TIED, std=0.3,
    ),
)  # fmt: skip


def model() -> LanguageModel:
    torch.manual_seed(0)
    return CFG.build()


def batch(rows: slice = slice(None)) -> Worded:
    """Something given of each text, and most of what is said in the first rows."""
    rng = torch.Generator().manual_seed(1)
    given, said = (torch.randint(3, 23, (6, length), generator=rng) for length in (3, 8))
    shown, lengths = torch.tensor([3, 1, 2, 1, 1, 3]), torch.tensor([8, 7, 8, 1, 3, 4])
    before, after = torch.arange(3)[None] >= 3 - shown[:, None], torch.arange(8)[None] < lengths[:, None]
    return Worded(Text(given, before)[rows], Text(said, after)[rows])


def main() -> None:
    dist.init_process_group("gloo")
    first = 3 * ranks.rank()
    learner = model()
    loss = learner(batch(slice(first, first + 3)))["language"]
    loss.backward()
    gradients = {name: weight.grad for name, weight in learner.named_parameters()}
    torch.save({"loss": loss.detach(), "gradients": gradients}, Path(sys.argv[1]) / str(ranks.rank()))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
