"""CLIP files of `transformers`: the same features and logits at odd sizes, and back to the same bytes."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
)

import chiasm
from chiasm.archetypes.dual import DualEncoder
from chiasm.core.types import Fit, Text
from chiasm.data.text import Tokenizer
from chiasm.nn.mlp import Activation
from chiasm.nn.vit import SOONER
from chiasm.predictor.verbs import Predictor
from chiasm.systems import clip

WORDS = Tokenizer.builtin()
LAST = WORDS.vocab - 1
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
VISION = {
    "hidden_size": 36, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 35,
    "patch_size": 7,
}  # fmt: skip
TEXT = {
    "vocab_size": WORDS.vocab, "hidden_size": 20, "intermediate_size": 73, "num_hidden_layers": 2,
    "num_attention_heads": 5, "max_position_embeddings": 13, "eos_token_id": WORDS.end, "bos_token_id": None,
}  # fmt: skip


@cache
def made(act: str = "gelu", **text: int) -> CLIPModel:
    """Weights far from their start, norms and biases too; both towers see the same activation."""
    shared = {"hidden_act": act, "projection_dim": 11}
    torch.manual_seed(0)
    config = CLIPConfig(vision_config=VISION | shared, text_config=TEXT | shared | text, projection_dim=11)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made().save_pretrained(tmp_path / "clip")
    WORDS.save(tmp_path / "clip" / "tokenizer.json")
    return tmp_path / "clip"


def pictures(rows: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 40 + 9 * i, 3), dtype=np.uint8) for i in range(rows)]


def texts(end: int, *, pad: int) -> Text:
    """Padded rows, the longest of them as long as the model allows."""
    ids, lengths = torch.randint(7, LAST, (5, 13)), torch.tensor([13, 4, 2, 9, 6])
    mask = torch.arange(13)[None] < lengths[:, None]
    ids[torch.arange(5), lengths - 1] = end
    return Text(ids.masked_fill(~mask, pad), mask)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("act", "rule", "end", "pad"),
    [("gelu", 2, LAST, 0), ("quick_gelu", 2, LAST, LAST), ("quick_gelu", 3, 3, 0), ("gelu", LAST, LAST, LAST)],
)
def test_features_and_logits_are_theirs(act: str, rule: int, end: int, pad: int, tmp_path: Path) -> None:
    """Both rules for the end of a text: the largest id, which `eos_token_id` 2 stands for, and the first end."""
    theirs = made(act, eos_token_id=rule)
    theirs.save_pretrained(tmp_path)
    model = chiasm.load(tmp_path)
    ours, text, images = model.module, texts(end, pad=pad), torch.randn(4, 3, 35, 35)
    assert isinstance(ours, DualEncoder)
    told = theirs(input_ids=text.ids, attention_mask=text.mask.long(), pixel_values=images)
    seen, words = ours.embed_seen(ours.see(images)), ours.embed_text(text)
    torch.testing.assert_close(seen, told.image_embeds, **CLOSE)
    torch.testing.assert_close(words, told.text_embeds, **CLOSE)
    torch.testing.assert_close(seen @ words.T / ours.temperature, told.logits_per_image, **CLOSE)
    states = told.text_model_output.last_hidden_state
    torch.testing.assert_close(ours.read(text)[text.mask], states[text.mask], **CLOSE)
    patches = theirs.vision_model.post_layernorm(told.vision_model_output.last_hidden_state)
    torch.testing.assert_close(ours.see(images), patches, **CLOSE)


def test_knows_what_it_is(folder: Path) -> None:
    model = chiasm.load(folder)
    assert (model.system, model.preset) == ("clip", "custom")
    assert model.abilities == ("match", "embed", "classify", "rerank", "features")
    assert (model.processor.pixels.size, model.processor.pixels.fit) == (35, Fit.CROP)


@torch.inference_mode()
def test_classify_is_their_softmax(folder: Path) -> None:
    model, labels = chiasm.load(folder), ["a red circle", "a dog", "the sky at the top"]
    text = WORDS.encode(labels)
    told = made()(
        input_ids=text.ids, attention_mask=text.mask.long(), pixel_values=model.processor(pictures())
    ).logits_per_image.softmax(1)
    for ranking, row in zip(model.classify(pictures(), labels), told, strict=True):
        assert ranking.indices == tuple(row.argsort(descending=True).tolist())
        torch.testing.assert_close(torch.tensor(ranking.scores), row.sort(descending=True).values, **CLOSE)


@torch.inference_mode()
def test_transformers_opens_what_we_export_and_computes_the_same(folder: Path, tmp_path: Path) -> None:
    model, said = chiasm.load(folder), ["a red circle", "two dogs"]
    out = chiasm.export(model, tmp_path / "out")
    again, told = CLIPModel.from_pretrained(out, output_loading_info=True)
    assert not any(told[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    pixels, text = model.processor(pictures()), WORDS.encode(said)
    whole = again.eval()(input_ids=text.ids, attention_mask=text.mask.long(), pixel_values=pixels)
    torch.testing.assert_close(model.embed(images=pictures()), whole.image_embeds, **CLOSE)
    torch.testing.assert_close(model.embed(texts=said), whole.text_embeds, **CLOSE)
    eyes = CLIPVisionModelWithProjection.from_pretrained(out).eval()(pixel_values=pixels)
    ears = CLIPTextModelWithProjection.from_pretrained(out).eval()(text.ids, attention_mask=text.mask.long())
    torch.testing.assert_close(torch.nn.functional.normalize(eyes.image_embeds), whole.image_embeds, **CLOSE)
    torch.testing.assert_close(torch.nn.functional.normalize(ears.text_embeds), whole.text_embeds, **CLOSE)
    processor = AutoImageProcessor.from_pretrained(out, backend="pil")
    assert type(processor).__name__.startswith("CLIPImageProcessor")
    exact = chiasm.load(out, preprocess="exact").processor(pictures())
    torch.testing.assert_close(processor(pictures(), return_tensors="pt")["pixel_values"], exact, **CLOSE)


def test_ours_theirs_ours_is_bit_exact(folder: Path, tmp_path: Path) -> None:
    first = chiasm.load(folder)
    second = chiasm.load(chiasm.export(first, tmp_path / "out"))
    assert same(first, second)
    third = chiasm.load(chiasm.export(second, tmp_path / "own", format="chiasm"))
    assert same(third, first)
    assert third.processor.pixels == first.processor.pixels


def same(one: Predictor, other: Predictor) -> bool:
    ours, theirs = one.module.state_dict(), other.module.state_dict()
    return one.config == other.config and all(torch.equal(ours[name], theirs[name]) for name in {*ours, *theirs})


def changed(folder: Path, **entries: Any) -> None:
    path = folder / "config.json"
    about = json.loads(path.read_text())
    for name, value in entries.items():
        about[name] = about.get(name, {}) | value if isinstance(value, dict) else value
    path.write_text(json.dumps(about))


def test_old_configs_overrule_a_tower(folder: Path) -> None:
    """`text_config_dict` of OpenAI's own: what it leaves out has the default, whatever `text_config` says."""
    changed(folder, text_config_dict={**TEXT, "eos_token_id": 2}, text_config={"num_attention_heads": 2})
    model = chiasm.load(folder)
    assert isinstance(model.config, DualEncoder.Config)
    assert (model.config.text.heads, model.config.text.activation) == (5, Activation.QUICK_GELU)
    assert model.config.text.end is None


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"vision_config": {"hidden_act": "mish"}}, r"vision_config has hidden_act 'mish', but chiasm's has"),
        ({"text_config": {"attention_dropout": 0.1}}, r"attention_dropout 0.1, but chiasm always has 0.0"),
        ({"vision_config": {"num_channels": 1}}, r"num_channels 1, but chiasm always has 3"),
        ({"text_config": {"intermediate_size": 81}}, r"does not fit the model: .*mlp"),
        ({"vision_config": {"num_hidden_layers": 2}}, r"does not fit the model: the file lacks nothing; .*layers.2"),
        ({"vision_config": {"image_size": 36}}, "36 pixels do not divide into patches of 7"),
        ({"vision_config": {"hidden_size": "wide"}}, r"the config beside .* is damaged"),
        ({"vision_config": {"hidden_size": 0}}, r"the config beside .* is damaged"),
        ({"model_type": "altclip"}, r"holds no model that chiasm knows"),
    ],
)
def test_what_ours_cannot_do_is_said(entries: dict[str, Any], told: str, folder: Path) -> None:
    changed(folder, **entries)
    with pytest.raises(ValueError, match=told):
        chiasm.load(folder)


def test_weights_without_their_config_are_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"need the config.json that they came with"):
        chiasm.load(folder / "model.safetensors")


def test_what_theirs_cannot_do_is_said(folder: Path, tmp_path: Path) -> None:
    model = chiasm.create("clip/tiny")
    model.card = replace(model.card, config=clip.tiny(SOONER))
    with pytest.raises(ValueError, match=r"format 'hf' cannot say that vision.stem.* is .*NormedStem"):
        chiasm.export(model, tmp_path / "out")
    config = chiasm.load(folder).config
    assert isinstance(config, DualEncoder.Config)
    model = chiasm.load(folder)
    model.card = replace(model.card, config=config.worded(256, 2))
    with pytest.raises(ValueError, match=r"format 'hf' cannot say that text.end is 2"):
        chiasm.export(model, tmp_path / "out")
    with pytest.raises(ValueError, match=r"it can be written as hf, .*chiasm, onnx$"):
        chiasm.export(chiasm.load(folder), tmp_path / "out", format="lavis")
    assert not (tmp_path / "out").exists()


@torch.inference_mode()
def test_another_size_in_the_config_resizes_the_positions(folder: Path) -> None:
    changed(folder, vision_config={"image_size": 49})
    model, images = chiasm.load(folder, device="cpu"), torch.randn(2, 3, 49, 49)
    assert model.processor.pixels.size == 49
    expected = made().get_image_features(pixel_values=images, interpolate_pos_encoding=True).pooler_output
    found = model.module.embed_seen(model.module.see(images))
    torch.testing.assert_close(found, torch.nn.functional.normalize(expected, dim=-1), **CLOSE)
