"""CLIP's original files: told from shapes alone, the numbers of `transformers`, and back to the same bytes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

import chiasm
from chiasm.archetypes.dual import DualEncoder
from chiasm.core.dialect import Found
from chiasm.core.types import Fit, Text
from chiasm.layouts.clip_openai import LAYOUTS
from chiasm.nn.mlp import Activation
from chiasm.predictor.catalogue import config_of
from chiasm.predictor.verbs import Predictor
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

VOCAB = 90
LAYER = {"ln_1": "layer_norm1", "attn.out_proj": "self_attn.out_proj", "ln_2": "layer_norm2"} | {
    "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"
}  # fmt: skip
TOWERS = {"visual.transformer": "vision_model", "transformer": "text_model"}


@cache
def theirs() -> CLIPModel:
    vision = {"hidden_size": 128, "intermediate_size": 200, "num_attention_heads": 2, "image_size": 24, "patch_size": 8}
    text = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 1, "vocab_size": VOCAB}
    text |= {"max_position_embeddings": 9, "eos_token_id": VOCAB - 1, "bos_token_id": None}
    torch.manual_seed(0)
    layers = {"num_hidden_layers": 2, "projection_dim": 24}
    model = CLIPModel(CLIPConfig(vision_config=vision | layers, text_config=text | layers, projection_dim=24)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


@cache
def original() -> Mapping[str, Tensor]:
    """Their tensors as OpenAI calls them, by a loop of this test's own."""
    held = theirs().state_dict()
    found = {
        "logit_scale": held["logit_scale"], "text_projection": held["text_projection.weight"].T,
        "visual.proj": held["visual_projection.weight"].T,
        "visual.class_embedding": held["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": held["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": held["vision_model.embeddings.patch_embedding.weight"],
        "token_embedding.weight": held["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": held["text_model.embeddings.position_embedding.weight"],
    }  # fmt: skip
    for kind in ("weight", "bias"):
        found[f"visual.ln_pre.{kind}"] = held[f"vision_model.pre_layrnorm.{kind}"]
        found[f"visual.ln_post.{kind}"] = held[f"vision_model.post_layernorm.{kind}"]
        found[f"ln_final.{kind}"] = held[f"text_model.final_layer_norm.{kind}"]
        for us, them in TOWERS.items():
            for i in range(2):
                block, layer = f"{us}.resblocks.{i}", f"{them}.encoder.layers.{i}"
                qkv = [held[f"{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                found[f"{block}.attn.in_proj_{kind}"] = torch.cat(qkv)
                found |= {f"{block}.{ours}.{kind}": held[f"{layer}.{name}.{kind}"] for ours, name in LAYER.items()}
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in found.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    sizes = {"input_resolution": 24, "context_length": 9, "vocab_size": VOCAB}  # as a converted archive has them
    torch.save({**original(), **{name: torch.tensor(size) for name, size in sizes.items()}}, tmp_path / "ViT.pt")
    return tmp_path / "ViT.pt"


@torch.inference_mode()
def agree(model: Predictor, them: CLIPModel, *, close: float = 1e-4) -> None:
    text, images = (
        Text(torch.randint(1, VOCAB - 1, (3, 9)), torch.ones(3, 9, dtype=torch.bool)),
        torch.randn(3, 3, 24, 24),
    )
    text.ids[:, -1] = VOCAB - 1
    told, ours = them(input_ids=text.ids, pixel_values=images), model.module
    assert isinstance(ours, DualEncoder)
    torch.testing.assert_close(ours.embed_seen(ours.see(images)), told.image_embeds, rtol=close, atol=close / 10)
    torch.testing.assert_close(ours.embed_text(text), told.text_embeds, rtol=close, atol=close / 10)
    torch.testing.assert_close(1 / ours.temperature, them.logit_scale.exp())


def test_shapes_tell_everything_and_features_are_theirs(file: Path) -> None:
    model = chiasm.load(file)
    assert (model.system, model.preset) == ("clip", "custom")
    assert (model.processor.pixels.size, model.processor.pixels.fit) == (24, Fit.CROP)
    agree(model, theirs())


def test_there_and_back_are_the_same_bytes(file: Path, tmp_path: Path) -> None:
    model = chiasm.load(file)
    path = chiasm.export(model, tmp_path / "out", format="openai") / "openai.pth"
    held = torch.load(path, weights_only=True)  # flat, as OpenAI's and OpenCLIP's own code reads it
    assert held.keys() == original().keys()
    assert all(torch.equal(value, original()[name]) for name, value in held.items())
    again = chiasm.load(path)
    assert again.config == model.config
    read = again.module.state_dict()
    assert all(torch.equal(value, read[name]) for name, value in model.module.state_dict().items())


def test_the_two_precisions_of_a_file_become_the_wider_one(tmp_path: Path) -> None:
    """OpenAI's maps are in half precision, its norms and embeddings are not."""
    half = {
        name: value.half() if value.ndim == 2 and "emb" not in name else value for name, value in original().items()
    }
    torch.save(half, tmp_path / "half.pt")
    model = chiasm.load(tmp_path / "half.pt")
    assert {weight.dtype for weight in model.module.parameters()} == {torch.float32}
    agree(model, theirs(), close=2e-2)
    assert chiasm.load(tmp_path / "half.pt", dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("preset", ["vit-b-32", "vit-l-14-336", "vit-h-14", "vit-bigg-14"])
def test_a_published_size_is_known_by_its_shapes(preset: str) -> None:
    config, (layout,) = config_of(f"clip/{preset}"), LAYOUTS
    assert isinstance(config, DualEncoder.Config)
    config = replace(config, vision=replace(config.vision, depth=2), text=replace(config.text, depth=1))
    with torch.device("meta"):
        tensors = untranslate(state(config.build()), layout.rules, source="ours")
    found = Found(config={}, shapes={name: tuple(value.shape) for name, value in tensors.items()})
    assert layout.fits(found)
    assert layout.read(found) == config
    assert layout.write(config) == {}


def test_what_the_form_cannot_say_is_refused(file: Path, tmp_path: Path) -> None:
    model = chiasm.load(file)
    config = model.config
    assert isinstance(config, DualEncoder.Config)
    text = config.text
    for odd, told in (
        (
            replace(config, text=replace(text, activation=Activation.GELU)),
            r"'openai' cannot say that text.activation is 'GELU'",
        ),
        (
            replace(config, text=replace(text, heads=2)),
            r"cannot say that text.heads is 2: whoever reads it will take it to be 1",
        ),
        (replace(config, text=replace(text, eps=1e-6)), "eps 1e-05, but this one of 1e-05 and 1e-06"),
        (replace(config, text=replace(text, end=3)), r"cannot say that text.end is 3"),
    ):
        model.card = replace(model.card, config=odd)
        with pytest.raises(ValueError, match=told):
            chiasm.export(model, tmp_path / "out", format="openai")


def test_a_strange_tensor_is_named(tmp_path: Path) -> None:
    torch.save({**original(), "logit_bias": torch.zeros(())}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"does not know: logit_bias"):
        chiasm.load(tmp_path / "x.pt")
