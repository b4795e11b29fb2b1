"""BLIP files of `transformers`: loaded by name, the same numbers, the same words, and back to the same bytes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from transformers import (
    AutoImageProcessor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

import chiasm
from chiasm.core.dialect import Found
from chiasm.data.text import Tokenizer
from chiasm.layouts.blip_hf import LAYOUTS
from chiasm.nn.vit import SOONER
from chiasm.systems import blip

WORDS = Tokenizer.builtin()
VISION = {
    "hidden_size": 36, "intermediate_size": 51, "hidden_act": "quick_gelu", "num_hidden_layers": 3,
    "num_attention_heads": 3, "image_size": 40, "patch_size": 8, "layer_norm_eps": 1e-6,
}  # fmt: skip
SMALL = VISION | {"hidden_size": 24, "intermediate_size": 50}
TEXT = {
    "vocab_size": WORDS.vocab, "hidden_size": 24, "intermediate_size": 37, "hidden_act": "relu", "num_hidden_layers": 2,
    "num_attention_heads": 2, "encoder_hidden_size": 36, "max_position_embeddings": 40,
    "bos_token_id": WORDS.markers.dec, "sep_token_id": WORDS.markers.sep, "eos_token_id": WORDS.markers.sep,
    "pad_token_id": WORDS.markers.pad,
}  # fmt: skip


def made(kind: type[Any], text: dict[str, Any] = TEXT, vision: dict[str, Any] = VISION) -> Any:
    torch.manual_seed(0)
    model = kind(BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=10)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    WORDS.save(folder / "tokenizer.json")
    return folder


@pytest.fixture
def theirs() -> Any:
    return made(BlipForConditionalGeneration)


@pytest.fixture
def folder(theirs: Any, tmp_path: Path) -> Path:
    return saved(theirs, tmp_path / "blip")


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
    """Forms that have the class but cannot hold this very model, with its stem of convolutions, are not among them."""
    offered = "; it can be written as chiasm, onnx$"
    with pytest.raises(ValueError, match=rf"format 'hf' has no class for blip's MED{offered}"):
        chiasm.export(chiasm.create("blip/tiny"), tmp_path / "out")
    small = chiasm.create("blip/tiny-caption")
    small.card = replace(small.card, config=blip.captioner(blip.tiny(SOONER)))
    with pytest.raises(ValueError, match=rf"format 'hff'; did you mean 'hf'.* hf, .*{offered}"):
        chiasm.export(small, tmp_path / "out", format="hff")
    with pytest.raises(ValueError, match=rf"cuts pictures into patches and has no ConvStem{offered}"):
        chiasm.export(small, tmp_path / "out")
    with pytest.raises(ValueError, match=rf"format 'lavis' cannot .*{offered}"):
        chiasm.export(small, tmp_path / "out", format="lavis")
    assert not (tmp_path / "out").exists()


TEXTS = ["a red circle", "", "the small blue square at the top left of a big one"]


@pytest.mark.parametrize("itm_token", ["enc", "cls"])
@torch.inference_mode()
def test_search_and_matching_are_theirs(tmp_path: Path, itm_token: str) -> None:
    """They leave [CLS] at position 0, although training had [ENC] there."""
    theirs = made(BlipForImageTextRetrieval)
    model = chiasm.load(saved(theirs, tmp_path / "blip"), itm_token=itm_token)
    pixels, text = model.processor(pictures()), WORDS.encode(TEXTS)
    alone = {"input_ids": text.ids, "attention_mask": text.mask.long()}
    opened = {**alone, "input_ids": text.opened_by(WORDS.markers.enc).ids if itm_token == "enc" else text.ids}
    matched = theirs(pixel_values=pixels, **opened)
    told, states = model.match(pictures(), TEXTS), model.features(images=pictures(), texts=TEXTS)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(told.itm_logits, matched.itm_score, **close)
    cosine = theirs(pixel_values=pixels, use_itm_head=False, **alone)
    torch.testing.assert_close(told.itc_cosine, cosine.itm_score.diag(), **close)
    torch.testing.assert_close(states["images"], matched.last_hidden_state, **close)
    assert (model.config.markers.cls, model.config.markers.mask) == (WORDS.markers.cls, WORDS.markers.mask)
    again = BlipForImageTextRetrieval.from_pretrained(chiasm.export(model, tmp_path / "out")).eval()
    assert torch.equal(again(pixel_values=pixels, **opened).itm_score, matched.itm_score)


@pytest.mark.parametrize("beams", [1, 3])
@torch.inference_mode()
def test_answers_are_token_for_token_theirs(tmp_path: Path, beams: int) -> None:
    theirs = made(BlipForQuestionAnswering, TEXT | {"encoder_hidden_size": 24, "label_smoothing": 0.2}, SMALL)
    model = chiasm.load(saved(theirs, tmp_path / "blip"), itm_token="cls")
    assert ("answer" in model.abilities, model.config.smoothing) == (True, 0.2)
    strategy, asked = ("greedy" if beams == 1 else "beam"), ["what colour?", "how many", "is there a red circle"]
    said = model.answer(pictures(), asked, strategy=strategy, num_beams=beams, max_new_tokens=9)
    for picture, question, one in zip(pictures(), asked, said, strict=True):
        ids = theirs.generate(
            pixel_values=model.processor([picture]), input_ids=WORDS.encode([question]).ids, num_beams=beams,
            do_sample=False, max_new_tokens=9,
        )  # fmt: skip
        assert one.text == WORDS.decode(ids[0].tolist())
    assert len({one.text for one in said}) > 1
    again = BlipForQuestionAnswering.from_pretrained(chiasm.export(model, tmp_path / "out")).eval()
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_what_a_config_leaves_out_is_as_in_transformers() -> None:
    """Their defaults are not BLIP's: eight heads, 1e-5, no smoothing; what released files mean is in blip_lavis."""
    theirs, config = BlipConfig(), LAYOUTS[0].read(Found(config={"model_type": "blip"}, shapes={}))
    assert config.vision.eps == theirs.vision_config.layer_norm_eps == 1e-5
    assert config.text.heads == theirs.text_config.num_attention_heads == 8
    assert config.smoothing == theirs.text_config.label_smoothing == 0.0
    assert (config.text.eps, config.text.vocab) == (theirs.text_config.layer_norm_eps, theirs.text_config.vocab_size)


def test_heads_are_not_guessed(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"need the config\.json that they came with"):
        chiasm.load(folder / "model.safetensors")


def test_an_old_folder_is_replaced_only_when_told_so(folder: Path, tmp_path: Path) -> None:
    model, out = chiasm.load(folder), tmp_path / "out"
    chiasm.export(model, out, format="chiasm")
    with pytest.raises(ValueError, match=r"out exists: .* overwrite=True"):
        chiasm.export(model, out)
    chiasm.export(model, out, overwrite=True)
    assert chiasm.load(out).caption(pictures()) == model.caption(pictures())


def test_without_a_tokenizer_no_token_is_said_that_is_no_word(tmp_path: Path) -> None:
    """[CLS] and [MASK] are BERT's 101 and 103 where nothing says more, which 99 words do not have."""
    few = {"vocab_size": 99, "bos_token_id": 97}
    made(BlipForImageTextRetrieval, TEXT | few).save_pretrained(tmp_path / "blip")
    model = chiasm.load(tmp_path / "blip")
    out = chiasm.export(model, tmp_path / "out")
    said = json.loads((out / "config.json").read_text())["text_config"]
    assert {name for name, value in said.items() if name.endswith("token_id") and value >= 99} == set()
    assert chiasm.load(out).config == model.config


@pytest.mark.parametrize("form", ["chiasm", "hf"])
def test_what_no_export_wrote_is_never_replaced(form: str, folder: Path, tmp_path: Path) -> None:
    model, out = chiasm.load(folder), tmp_path / "out"
    chiasm.export(model, out, format=form)
    chiasm.export(model, out, format="hf", overwrite=True)
    chiasm.export(model, out, format=form, overwrite=True)
    (out / "precious.txt").write_text("mine")
    for place, told in (
        (out, r"out holds precious\.txt, which no export wrote"),
        (folder, r"holds generation_config\.json, which no"),  # transformers wrote it
        (folder / "config.json", "is a file"),
    ):
        before = {file: file.read_bytes() for file in (place.iterdir() if place.is_dir() else [place])}
        with pytest.raises(ValueError, match=told):
            chiasm.export(model, place, overwrite=True)
        assert all(file.read_bytes() == data for file, data in before.items())


def test_a_folder_with_nothing_but_notes_keeps_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="did not export"):
        chiasm.export(chiasm.load(folder), tmp_path / "notes", overwrite=True)
    assert (tmp_path / "notes" / "README.md").read_text() == "mine"


def test_what_is_missing_and_what_is_left_over_are_told_together(folder: Path) -> None:
    held = safetensors.torch.load_file(folder / "model.safetensors")
    gone = ("vision_model.post_layernorm.weight", "text_decoder.bert.encoder.layer.1.output.dense.bias")
    for name in gone:
        del held[name]
    safetensors.torch.save_file(held | {"vision_model.extra.weight": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"the file lacks .*; this layout does not know: vision_model.extra.weight$"
    ) as told:
        chiasm.load(folder)
    assert all(name in str(told.value) for name in gone)


@torch.inference_mode()
@pytest.mark.parametrize("size", [16, 64])
def test_another_size_in_the_config_resizes_the_positions(size: int, theirs: Any, folder: Path) -> None:
    about = json.loads((folder / "config.json").read_text())
    about["vision_config"]["image_size"] = size
    (folder / "config.json").write_text(json.dumps(about))
    model, images = chiasm.load(folder, device="cpu"), torch.randn(2, 3, size, size)
    expected = theirs.vision_model(images, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(model.module.see(images), expected, rtol=1e-4, atol=1e-4)
