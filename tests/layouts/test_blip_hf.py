"""BLIP files of `transformers`: loaded by name, the same numbers, the same words, and back to the same bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BlipConfig, BlipForConditionalGeneration

import chiasm
from chiasm.data.text import Tokenizer

WORDS = Tokenizer.builtin()
VISION = {
    "hidden_size": 36, "intermediate_size": 144, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 40,
    "patch_size": 8, "layer_norm_eps": 1e-6,
}  # fmt: skip
TEXT = {
    "vocab_size": WORDS.vocab, "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 2, "encoder_hidden_size": 36, "max_position_embeddings": 40,
    "bos_token_id": WORDS.markers.dec, "sep_token_id": WORDS.markers.sep, "eos_token_id": WORDS.markers.sep,
    "pad_token_id": WORDS.markers.pad,
}  # fmt: skip


@pytest.fixture
def theirs() -> BlipForConditionalGeneration:
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(BlipConfig(text_config=TEXT, vision_config=VISION)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


@pytest.fixture
def folder(theirs: BlipForConditionalGeneration, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path / "blip")
    WORDS.save(tmp_path / "blip" / "tokenizer.json")
    return tmp_path / "blip"


def pictures(rows: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(rows)]


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_token_for_token_theirs(theirs: BlipForConditionalGeneration, folder: Path, beams: int) -> None:
    model = chiasm.load(folder)
    pixels = model.processor(pictures())
    with torch.inference_mode():
        ids = theirs.generate(pixel_values=pixels, num_beams=beams, do_sample=False, max_new_tokens=12)
    strategy = "greedy" if beams == 1 else "beam"
    said = model.caption(pictures(), strategy=strategy, num_beams=beams, max_new_tokens=12)
    assert [one.text for one in said] == [WORDS.decode(row.tolist()) for row in ids]
    assert len({one.text for one in said}) > 1


def test_knows_what_it_is(folder: Path) -> None:
    model = chiasm.load(folder)
    assert (model.system, model.preset) == ("blip", "custom")
    assert model.abilities == ("caption", "features")
    assert model.processor.pixels.size == 40
