"""A language model of 150 million weights in fp32, bf16, 8 and 4 bits: bytes, the peak of loading, a step, how far off.

    python bench/packing.py [--rounds 3] [--rows 1]          # prints the table that docs/language.md holds

A LLaMA of ten layers of 1024 that transformers wrote in fp32, random. A step goes there and back to 32 vectors that it
is shown, over 8 tokens that it says; all sides take turns. The peak is that of a process of its own, above where it
stood before. How far is the norm of the difference of logits, over that of fp32's. A GPU is left out.
"""

import statistics
import tempfile
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from timing import asked, seconds
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from chiasm.backbones.hf import Config, EightBit, FourBit, Precision
from chiasm.core.types import Text
from chiasm.objectives.language import next_token_of

SHOWN, SAID, VOCAB = 32, 8, 8000
SIZES = {"hidden_size": 1024, "num_hidden_layers": 10, "num_attention_heads": 16, "intermediate_size": 2816}
KINDS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"dtype": Precision.BF16},
    "8 bits": {"packed": EightBit()},
    "4 bits": {"packed": FourBit()},
}


def main() -> None:
    """Load each by itself, then all; take turns, print."""
    told = asked(__doc__, rows=1)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, **SIZES)).save_pretrained(folder)
        configs = {name: Config(name=folder, **more) for name, more in KINDS.items()}
        peaks = {name: _alone(config) for name, config in configs.items()}
        models = {name: config.build().eval().requires_grad_(requires_grad=False) for name, config in configs.items()}
    given, words = torch.randn(told.rows, SHOWN, 1024), torch.randint(VOCAB, (told.rows, SAID))
    jobs = {name: partial(_step, model, given, words) for name, model in models.items()}
    logits = {name: job() for name, job in jobs.items()}
    spent = [{name: seconds(job) for name, job in jobs.items()} for _ in range(told.rounds)]
    print(
        "| weights | bytes | of fp32 | peak of loading | a step | of fp32 | in all rounds | far |",
        "|---" * 8 + "|",
        sep="\n",
    )
    for name, model in models.items():
        size, wide = _bytes(model), _bytes(models["fp32"])
        ratios = sorted(each[name] / each["fp32"] for each in spent)
        far = (logits[name] - logits["fp32"]).norm() / logits["fp32"].norm()
        print(
            f"| {name} | {size / 1e6:.0f} MB | {size / wide:.0%} | {peaks[name] / 1e6:.0f} MB "
            f"| {statistics.median(each[name] for each in spent):.2f} s | {statistics.median(ratios):.2f} "
            f"| {ratios[0]:.2f} - {ratios[-1]:.2f} | {far:.1%} |"
        )


def _step(model: Any, given: Tensor, words: Tensor) -> Tensor:
    """The logits, after a gradient has come back."""
    shown, said = given.clone().requires_grad_(), Text(words, torch.ones_like(words, dtype=torch.bool))
    states = model.predict(shown, torch.ones(given.shape[:2], dtype=torch.bool), said)
    next_token_of(states, words.flatten(), model.logits).backward()
    with torch.no_grad():
        return model.logits(states).float()


def _bytes(model: Any) -> int:
    """Of weights, codes and scales."""
    return sum(value.nbytes for value in model.state_dict().values())


def _alone(config: Config) -> int:
    """The peak of another process that loads it."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (config,))


def _peak(config: Config) -> int:
    """How far memory rises while a model is loaded and every byte of it is read, once everything is imported."""
    with tempfile.TemporaryDirectory() as folder:
        LlamaForCausalLM(LlamaConfig(vocab_size=8, hidden_size=64, num_hidden_layers=1)).save_pretrained(folder)
        Config(name=folder, packed=EightBit()).build()
    before = _at("VmRSS")
    read = [value.sum() for value in config.build().state_dict().values()]
    return _at("VmHWM") - before if read else 0


def _at(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(kind))


if __name__ == "__main__":
    main()
