"""Loading costs the memory of the file and little more, in its own dtype and in another."""

import subprocess
import sys
from pathlib import Path

import pytest

import chiasm
from chiasm.archetypes.med import Captioner
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.layouts.blip_lavis import MARKERS
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

# in a process of its own: load, read every weight, and tell how far the peak lies above the start
PROBE = """
import sys, torch, chiasm, chiasm.predictor.open, chiasm.predictor.catalogue
def at(kind):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(kind))
torch.set_num_threads(1)
chiasm.predictor.catalogue.systems()
torch.ones(64, 64) @ torch.ones(64, 64)
before = at("VmRSS")
model = chiasm.load(sys.argv[1], device="cpu", dtype=getattr(torch, sys.argv[2]))
assert all(weight.detach().sum() < 9e9 for weight in model.module.parameters())
print(at("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's own account of memory")
@pytest.mark.parametrize("form", ["hf", "lavis", "chiasm"])
def test_peak_memory(tmp_path: Path, form: str) -> None:
    vision = ViT.Config(dim=768, depth=4, heads=12, image=32, stem=PatchStem(patch=16))
    text = Bert.Config(vocab=30_524, image_dim=768, depth=2, reads=(0, 1), max_len=64)
    config = Captioner.Config(vision=vision, text=text, markers=MARKERS)
    card = ModelCard(
        system="blip", preset="custom", config=config, pixels=Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
    )
    folder = chiasm.export(Predictor(config.build(), card, None), tmp_path / form, format=form)
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 200 << 20
    for dtype in ("float32", "bfloat16"):
        told = subprocess.run([sys.executable, "-c", PROBE, folder, dtype], check=True, capture_output=True, text=True)
        assert int(told.stdout) < 1.1 * size, f"{dtype}: {int(told.stdout) / size:.2f} times the file"
