"""A language model's weights are mapped, not read: opening one takes little more memory than its file is large."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch

from chiasm.layouts import decoders as layouts
from chiasm.nn import decoders
from chiasm.nn.decoder import DecoderLM, Head
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

# in a process of its own: open, read every weight, say a word, and tell how far the peak lies above the start
PROBE = """
import json, sys, torch, chiasm.layouts.decoders as layouts
from pathlib import Path
from chiasm.weights.folder import outline, read_tensors
from chiasm.weights.state import assign
from chiasm.weights.translate import translate
def at(kind):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(kind))
torch.set_num_threads(1)
torch.ones(64, 64) @ torch.ones(64, 64)
before, folder = at("VmRSS"), Path(sys.argv[1])
cfg = layouts.read(json.loads((folder / "config.json").read_text()))
model = outline(cfg)
assign(model, translate(read_tensors(folder / "model.safetensors"), layouts.rules(cfg), source=folder), source=folder)
assert all(weight.dtype == torch.bfloat16 and weight.detach().sum() < 9e9 for weight in model.parameters())
with torch.inference_mode():
    model.listen(model.embed(torch.ones(1, 1, dtype=torch.long)), torch.ones(1, 1, dtype=torch.bool))
print(at("VmHWM") - before)
"""
MEDIUM = [
    decoders.llama(dim=1024, depth=8, heads=8, hidden=2816),
    decoders.gpt2(dim=1024, depth=8, heads=8),
]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's own account of memory")
@pytest.mark.parametrize("cfg", MEDIUM, ids=["llama", "gpt2"])
def test_peak_memory(cfg: DecoderLM.Config, tmp_path: Path) -> None:
    """150 million weights in bf16; GPT-2's are mapped although ours stand the other way round."""
    values = untranslate(state(cfg.build().bfloat16()), layouts.rules(cfg), source="ours")
    if cfg.head is Head.TIED:
        del values["lm_head.weight"]  # as transformers leaves it out
    values = {name: value.contiguous() for name, value in values.items()}
    safetensors.torch.save_file(values, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(layouts.write(cfg)))
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 280 << 20
    told = subprocess.run([sys.executable, "-c", PROBE, tmp_path], check=True, capture_output=True, text=True)
    assert int(told.stdout) < 1.2 * size, f"{int(told.stdout) / size:.2f} times the file"
