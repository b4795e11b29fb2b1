"""From the start of Python to a BLIP-base captioner with its tokenizer and pictures' preparation: ours, transformers.

    python bench/load.py                      # prints a line of the table that docs/speed.md holds

The same folder for both, written here with random weights and in the file cache. Each run is a process of its own; its
time is the processor's, in user and kernel together. The last number is what `import torch` alone takes of it.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from peers import captioners, write_words
from timing import asked
from transformers import BlipImageProcessorPil

CHIASM = "import chiasm; chiasm.load({folder!r}, device='cpu')"
TRANSFORMERS = """
from transformers import BertTokenizerFast, BlipForConditionalGeneration, BlipImageProcessorPil
BlipForConditionalGeneration.from_pretrained({folder!r})
BertTokenizerFast.from_pretrained({folder!r})
BlipImageProcessorPil.from_pretrained({folder!r})
"""


def main() -> None:
    """Take turns, print."""
    told = asked(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        captioners(Path(folder), dtype=torch.float32)
        write_words(Path(folder))
        BlipImageProcessorPil(size={"height": 384, "width": 384}).save_pretrained(folder)
        jobs = [code.format(folder=folder) for code in (CHIASM, TRANSFORMERS, "import torch")]
        runs = [[_run(code) for code in jobs] for _ in range(told.rounds + 1)][1:]
    ours, theirs, torch_alone = (statistics.median(side) for side in zip(*runs, strict=True))
    ratios = sorted(other / own for own, other, _ in runs)
    print(
        "| import and load | chiasm | transformers | ratio | in all rounds | torch alone |", "|---" * 6 + "|", sep="\n"
    )
    print(
        f"| seconds | {ours:.2f} | {theirs:.2f} | **{statistics.median(ratios):.2f}** "
        f"| {ratios[0]:.2f} - {ratios[-1]:.2f} | {torch_alone:.2f} |"
    )


def _run(code: str) -> float:
    """Seconds of the processor."""
    child = os.posix_spawn(
        sys.executable, [sys.executable, "-W", "ignore", "-c", code], os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"this failed: {code}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
