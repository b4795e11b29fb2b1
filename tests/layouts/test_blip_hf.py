"""BLIP files of `transformers`: loaded by name, the same numbers, the same words, and back to the same bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, BlipConfig, BlipForConditionalGeneration

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
def theirs() -> Any:
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(BlipConfig(text_config=TEXT, vision_config=VISION)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


@pytest.fixture
def folder(theirs: Any, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path / "blip")
    WORDS.save(tmp_path / "blip" / "tokenizer.json")
    return tmp_path / "blip"


def pictures(rows: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(rows)]


@pytest.mark.parametrize("beams", [1, 3])
def test_captions_are_token_for_token_theirs(theirs: Any, folder: Path, beams: int) -> None:
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


def test_transformers_opens_what_we_export_and_computes_the_same(folder: Path, tmp_path: Path) -> None:
    model = chiasm.load(folder)
    out = chiasm.export(model, tmp_path / "out")
    again, told = BlipForConditionalGeneration.from_pretrained(out, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    pixels = model.processor(pictures())
    with torch.inference_mode():
        ids = again.eval().generate(pixel_values=pixels, do_sample=False, max_new_tokens=12)
    assert [WORDS.decode(row.tolist()) for row in ids] == [
        one.text for one in model.caption(pictures(), max_new_tokens=12)
    ]
    assert AutoImageProcessor.from_pretrained(out).size == {"height": 40, "width": 40}


def test_ours_theirs_ours_is_bit_exact(folder: Path, tmp_path: Path) -> None:
    first = chiasm.load(folder)
    second = chiasm.load(chiasm.export(first, tmp_path / "out"))
    assert second.config == first.config
    assert second.module.state_dict().keys() == first.module.state_dict().keys()
    for name, value in first.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[name]), name


def test_a_graph_without_a_class_of_theirs_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"format 'hf' has no class for blip's MED; it can be written as chiasm"):
        chiasm.export(chiasm.create("blip/tiny"), tmp_path / "out")
    with pytest.raises(ValueError, match=r"format 'hff'.* hf"):
        chiasm.export(chiasm.create("blip/tiny-caption"), tmp_path / "out", format="hff")
    with pytest.raises(ValueError, match=r"cuts pictures into patches and has no ConvStem"):
        chiasm.export(chiasm.create("blip/tiny-caption"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_old_folder_is_replaced_only_when_told_so(folder: Path, tmp_path: Path) -> None:
    model, out = chiasm.load(folder), tmp_path / "out"
    chiasm.export(model, out, format="chiasm")
    with pytest.raises(ValueError, match=r"out exists: .* overwrite=True"):
        chiasm.export(model, out)
    chiasm.export(model, out, overwrite=True)
    assert chiasm.load(out).caption(pictures()) == model.caption(pictures())
