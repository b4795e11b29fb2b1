"""BLIP-2's comparing and matching model of `transformers`: the same numbers, and back to the same bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, Blip2Config, Blip2ForImageTextRetrieval

import chiasm
from chiasm.archetypes.queries import QueryAligner
from chiasm.core.dialect import Found
from chiasm.data.text import Tokenizer
from chiasm.layouts.blip2_hf import LAYOUTS, read_norm, read_vision
from chiasm.nn import vit
from chiasm.nn.vit import eva_g14
from chiasm.systems import blip2

WORDS = Tokenizer.builtin()
VISION = {
    "hidden_size": 22, "intermediate_size": 35, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 40,
    "patch_size": 8, "layer_norm_eps": 1e-6,
}  # fmt: skip
QFORMER = {
    "vocab_size": WORDS.vocab, "hidden_size": 24, "intermediate_size": 71, "hidden_act": "relu", "num_hidden_layers": 3,
    "num_attention_heads": 3, "max_position_embeddings": 40, "encoder_hidden_size": 22, "use_qformer_text_input": True,
    "bos_token_id": WORDS.markers.dec, "pad_token_id": WORDS.markers.pad,
}  # fmt: skip
TEXTS = ["a red circle", "", "the small blue square at the top left of a big one"]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(0)
    config = Blip2Config(vision_config=VISION, qformer_config=QFORMER, num_query_tokens=5, image_text_hidden_size=7)
    model = Blip2ForImageTextRetrieval(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


@pytest.fixture
def folder(theirs: Any, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path / "blip2")
    WORDS.save(tmp_path / "blip2" / "tokenizer.json")
    return tmp_path / "blip2"


def pictures() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 40, 3), dtype=np.uint8) for _ in range(3)]


@torch.inference_mode()
def scores(theirs: Any, pixels: torch.Tensor) -> tuple[Any, Any]:
    """Their matching and their contrast."""
    text = WORDS.encode(TEXTS)
    given = {"pixel_values": pixels, "input_ids": text.ids, "attention_mask": text.mask.long()}
    return theirs(**given, use_image_text_matching_head=True), theirs(**given, use_image_text_matching_head=False)


def test_search_and_matching_are_theirs_and_transformers_opens_what_we_export(
    theirs: Any, folder: Path, tmp_path: Path
) -> None:
    model = chiasm.load(folder)
    assert model.config.markers == replace(WORDS.markers, enc=WORDS.markers.cls), "the tokenizer's, not BERT's"
    assert (model.system, model.abilities) == ("blip2", ("match", "embed", "classify", "rerank", "features"))
    pixels = model.processor(pictures())
    matched, compared = scores(theirs, pixels)
    told = model.match(pictures(), TEXTS)
    torch.testing.assert_close(told.itm_logits, matched.logits_per_image, **CLOSE)
    torch.testing.assert_close(told.itc_cosine, compared.logits_per_image.diag(), **CLOSE)
    torch.testing.assert_close(model.embed(images=pictures()), compared.image_embeds, **CLOSE)
    torch.testing.assert_close(model.embed(texts=TEXTS), compared.text_embeds, **CLOSE)
    states = model.features(images=pictures(), texts=TEXTS)
    torch.testing.assert_close(states["images"], compared.vision_model_output.last_hidden_state, **CLOSE)
    torch.testing.assert_close(states["fusion"], matched.text_model_output.last_hidden_state[:, :5], **CLOSE)
    out = chiasm.export(model, tmp_path / "out")
    again, kinds = Blip2ForImageTextRetrieval.from_pretrained(out, output_loading_info=True)
    assert not any(kinds[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for one, other in zip(scores(again.eval(), pixels), (matched, compared), strict=True):
        assert torch.equal(one.logits_per_image, other.logits_per_image)
    assert AutoImageProcessor.from_pretrained(out).size == {"height": 40, "width": 40}


def test_ours_theirs_ours_is_bit_exact(folder: Path, tmp_path: Path) -> None:
    first = chiasm.load(folder)
    second = chiasm.load(chiasm.export(first, tmp_path / "out"))
    assert second.config == first.config
    assert second.module.state_dict().keys() == first.module.state_dict().keys()
    for name, value in first.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[name]), name


def test_what_a_config_leaves_out_is_as_in_transformers() -> None:
    """And that is the published tower; the norm behind it has the tower's eps there, and 1e-5 in LAVIS."""
    found = Found(config=Blip2Config().to_dict(), shapes={})
    assert read_vision(found) == read_vision(Found(config={"model_type": "blip-2"}, shapes={})) == eva_g14()
    assert read_norm(found).eps == 1e-6


@pytest.mark.parametrize(
    ("part", "wrong", "reason"),
    [
        ("vision_config", {"hidden_act": "mish"}, "hidden_act 'mish', but chiasm's has"),
        ("vision_config", {"qkv_bias": False}, "qkv_bias False, but chiasm always has True"),
        ("qformer_config", {"hidden_act": "mish"}, "qformer_config has hidden_act 'mish', but"),
    ],
)
def test_what_we_do_not_do_is_refused(part: str, wrong: dict[str, Any], reason: str) -> None:
    shapes = {
        "query_tokens": (1, 5, 24), "vision_projection.weight": (7, 24), "embeddings.word_embeddings.weight": (50, 24),
        "embeddings.position_embeddings.weight": (40, 24),
    }  # fmt: skip
    config = {"vision_config": VISION, "qformer_config": QFORMER}
    with pytest.raises(ValueError, match=reason):
        LAYOUTS[0].read(Found(config={**config, part: {**config[part], **wrong}}, shapes=shapes))


def test_what_they_have_no_class_for_is_not_written(tmp_path: Path) -> None:
    model, sooner = chiasm.create("blip2/tiny-retriever"), blip2.tiny_towers(vit.tiny(vit.SOONER))
    for config in (sooner, QueryAligner.Config(retriever=sooner)):
        model.card = replace(model.card, config=config)
        with pytest.raises(ValueError, match=r"a ConvStem and ends Normed; it can be written as chiasm, onnx$"):
            chiasm.export(model, tmp_path / "out")


def test_what_never_learnt_to_write_is_no_first_stage_of_lavis(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"also writes, by Qformer.cls, .*; it can be written as hf, chiasm, onnx$"):
        chiasm.export(chiasm.load(folder), tmp_path / "out", format="lavis")
