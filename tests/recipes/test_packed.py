"""Recipes around a language model of transformers in 8 or 4 bits: it comes in by name, and is carried on by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import chiasm
from chiasm.archetypes.spliced import SplicedLM, seeing
from chiasm.backbones.hf import Config, EightBit, FourBit
from chiasm.cli.main import main
from chiasm.core.types import Pixels, Wording
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.data.text import Tokenizer
from chiasm.nn.connector import LinearConnector
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.folder import ModelCard, save_model
from chiasm.weights.state import state

SHORT = ["--data", "world:single?count=40", "--batch", "4"]
STEPS = [word for name in ("see", "align", "generate", "tune") for word in (f"--{name}", "1")]
ASK = "tell {}:"


@pytest.mark.slow
@pytest.mark.parametrize("packed", [EightBit(), FourBit()], ids=["8", "4"])
def test_both_recipes(packed: EightBit | FourBit, tmp_path: Path) -> None:
    told = _speaker(packed, tmp_path)
    blip2, asked = ["train", "recipes/blip2.py", *SHORT, *STEPS, "--lm", str(told), "--then", "vqa"], ["--steps", "1"]
    assert main([*blip2, "--out", str(tmp_path / "blip2")]) == 0
    assert [path.name for path in sorted((tmp_path / "blip2").iterdir())] == [
        "1-see", "2-align", "3-generate", "4-vqa",
    ]  # fmt: skip
    begun = ["train", "recipes/instructblip.py", "--data", "questions:single?count=40", "--batch", "4", *asked]
    for start in ("blip2/4-vqa", "blip2/3-generate"):  # reads words already, or learns to
        out = tmp_path / start.replace("/", "-")
        first = ["--first", str(tmp_path / "blip2/2-align")]
        assert main([*begun, "--start", str(tmp_path / start), *first, "--out", str(out)]) == 0
        model = chiasm.load(out, device="cpu")
        assert isinstance(model.config, SplicedLM.Config)
        assert model.config.lm == Config(name=str(tmp_path / "lm"), packed=packed)
        assert model.config.wording.question == ASK
        assert not any(name.startswith("lm.") for name in state(model.module))
        assert model.caption(torch.zeros(3, 32, 32), max_new_tokens=2).text is not None


def _speaker(packed: EightBit | FourBit, place: Path) -> Path:
    """A model folder around a language model of transformers."""
    words = Tokenizer.builtin()
    tokens: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    lm = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=words.vocab, **sizes, **tokens))
    lm.save_pretrained(place / "lm")
    tower = ViT.Config(dim=16, depth=1, heads=2, image=8, stem=PatchStem(patch=4))
    wording = Wording(start=None, close=None, end=3, pad=0, question=ASK)
    config = seeing(tower, LinearConnector.Config(), Config(name=str(place / "lm"), packed=packed), wording)
    pixels = Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD)
    card = ModelCard(system="blip2", preset="tiny", config=config, pixels=pixels)
    save_model(place / "told", config.build(), card, words)
    return place / "told"
