"""BLIP-2's first stage in LAVIS's files: told from shapes and names, and written so that they read back."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Blip2Config, Blip2ForImageTextRetrieval

import chiasm
from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.core.types import Pixels, Text
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.data.text import Tokenizer
from chiasm.layouts.blip2_lavis import LAYOUTS, MARKERS
from chiasm.nn.mlp import Activation
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import Bare, NormedStem, PatchStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

EVA = ViT.Config(dim=88, depth=2, heads=1, image=16, stem=PatchStem(patch=8), expansion=100 / 88, end=Bare())
CLIP = ViT.Config(
    dim=64, depth=2, heads=1, image=16, stem=NormedStem(patch=8), activation=Activation.QUICK_GELU, end=Bare(), eps=1e-5
)
WORDS = QFormer.Config(
    image_dim=88, text=Words(vocab=30_523, max_len=12), queries=3, dim=64, depth=3, heads=1, reads=(0, 2),
    expansion=39 / 64,
)  # fmt: skip
GRAPHS = {
    "eva": QueryAligner.Config(retriever=QueryRetriever.Config(vision=EVA, qformer=WORDS, markers=MARKERS, embed=7)),
    "clip": QueryAligner.Config(
        retriever=QueryRetriever.Config(vision=CLIP, qformer=replace(WORDS, image_dim=64), markers=MARKERS, embed=7)
    ),
}
# as facts/blip-line.md 3.3 lists them
HEADS = {
    "query_tokens", "temp", "ln_vision.weight", "vision_proj.weight", "text_proj.bias", "itm_head.weight",
    "Qformer.bert.embeddings.word_embeddings.weight", "Qformer.bert.embeddings.LayerNorm.bias",
    "Qformer.bert.encoder.layer.2.crossattention.self.value.bias", "Qformer.bert.encoder.layer.1.output.dense.weight",
    "Qformer.bert.encoder.layer.1.output_query.LayerNorm.weight", "Qformer.cls.predictions.decoder.weight",
    "Qformer.bert.encoder.layer.0.intermediate_query.dense.bias", "Qformer.cls.predictions.transform.dense.weight",
}  # fmt: skip
TOWERS = {
    "eva": {
        "visual_encoder.cls_token", "visual_encoder.pos_embed", "visual_encoder.patch_embed.proj.bias",
        "visual_encoder.blocks.1.attn.qkv.weight", "visual_encoder.blocks.1.attn.q_bias",
        "visual_encoder.blocks.0.attn.v_bias", "visual_encoder.blocks.0.mlp.fc2.bias",
    },
    "clip": {
        "visual_encoder.class_embedding", "visual_encoder.positional_embedding", "visual_encoder.conv1.weight",
        "visual_encoder.ln_pre.weight", "visual_encoder.transformer.resblocks.1.attn.in_proj_bias",
        "visual_encoder.transformer.resblocks.0.mlp.c_proj.weight",
    },
}  # fmt: skip


def model_of(config: Any) -> Predictor:
    torch.manual_seed(0)
    module, pixels = config.build(), Pixels(size=16, mean=CLIP_MEAN, std=CLIP_STD)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "temperature" not in name and not name.endswith("attend.k.bias"):
                weight.add_(0.1 * torch.randn_like(weight))
    return Predictor(module, ModelCard(system="blip2", preset="custom", config=config, pixels=pixels), None)


@pytest.mark.parametrize("name", GRAPHS)
def test_shapes_tell_everything_there_and_back(tmp_path: Path, name: str) -> None:
    model = model_of(GRAPHS[name])
    path = chiasm.export(model, tmp_path / "out", format="lavis") / "lavis.pth"
    held = torch.load(path, weights_only=True)["model"]
    assert held.keys() >= HEADS | TOWERS[name]
    assert not [one for one in held if "qkv.bias" in one or "resblocks.1.attn.q_bias" in one]
    again = chiasm.load(path)
    assert again.config == model.config
    assert again.abilities == ("caption", "match", "embed", "classify", "rerank", "features")
    assert again.module.state_dict().keys() == model.module.state_dict().keys()
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[key]), key


def theirs_of(path: Path) -> Any:
    """A model of `transformers` with such a file's tensors, renamed by facts/blip-line.md 3.4."""
    names = {
        r"^visual_encoder\.cls_token": "vision_model.embeddings.class_embedding",
        r"^visual_encoder\.pos_embed": "vision_model.embeddings.position_embedding",
        r"^visual_encoder\.patch_embed\.proj": "vision_model.embeddings.patch_embedding",
        r"^visual_encoder\.blocks\.(\d+)\.norm(\d)": r"vision_model.encoder.layers.\1.layer_norm\2",
        r"^visual_encoder\.blocks\.(\d+)\.attn\.proj": r"vision_model.encoder.layers.\1.self_attn.projection",
        r"^visual_encoder\.blocks\.(\d+)\.attn\.qkv": r"vision_model.encoder.layers.\1.self_attn.qkv",
        r"^visual_encoder\.blocks\.(\d+)\.mlp": r"vision_model.encoder.layers.\1.mlp",
        r"^ln_vision": "vision_model.post_layernorm",
        r"^Qformer\.bert\.embeddings\.LayerNorm": "qformer.layernorm",
        r"^Qformer\.bert\.embeddings\.": "embeddings.",
        r"^Qformer\.bert\.encoder\.layer\.(\d+)\.(\w+)\.self\.": r"qformer.encoder.layer.\1.\2.attention.",
        r"^Qformer\.bert\.": "qformer.",
        r"^(vision|text)_proj\.": r"\1_projection.",
    }
    held = torch.load(path, weights_only=True)["model"]
    for i in range(EVA.depth):
        q, v = (held.pop(f"visual_encoder.blocks.{i}.attn.{part}_bias") for part in "qv")
        held[f"visual_encoder.blocks.{i}.attn.qkv.bias"] = torch.cat([q, torch.zeros_like(q), v])
    held = {name: value for name, value in held.items() if name != "temp" and not name.startswith("Qformer.cls.")}
    for old, new in names.items():
        held = {re.sub(old, new, name): value for name, value in held.items()}
    vision = {
        "hidden_size": 88, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 1,
        "image_size": 16, "patch_size": 8,
    }  # fmt: skip
    look = {
        "vocab_size": 30_523, "hidden_size": 64, "intermediate_size": 39, "num_hidden_layers": 3,
        "num_attention_heads": 1, "max_position_embeddings": 12, "use_qformer_text_input": True,
    }  # fmt: skip
    config = Blip2Config(vision_config=vision, qformer_config=look, num_query_tokens=3, image_text_hidden_size=7)
    theirs = Blip2ForImageTextRetrieval(config).eval()
    theirs.load_state_dict(held, strict=True)
    theirs.vision_model.post_layernorm.eps = 1e-5  # LAVIS's own
    return theirs


def converted(path: Path) -> Any:
    """The same by way of a folder that we write, which says what it leaves out."""
    out = chiasm.export(chiasm.load(path), path.parent / "hf")
    assert (
        "no place for these, which were left out: retriever.temperature, word_head." in (out / "README.md").read_text()
    )
    assert isinstance(chiasm.load(out).module, QueryRetriever)
    theirs, told = Blip2ForImageTextRetrieval.from_pretrained(out, output_loading_info=True)
    assert not any(told.values())
    theirs.vision_model.post_layernorm.eps = 1e-5  # LAVIS's own
    return theirs.eval()


@pytest.mark.parametrize("opened", [theirs_of, converted])
@torch.inference_mode()
def test_a_file_of_theirs_computes_what_transformers_does(opened: Callable[[Path], Any], tmp_path: Path) -> None:
    path = chiasm.export(model_of(GRAPHS["eva"]), tmp_path / "out", format="lavis") / "lavis.pth"
    theirs, module = opened(path), chiasm.load(path).module
    torch.manual_seed(1)
    images, ids = torch.randn(2, 3, 16, 16), torch.randint(999, 30_000, (2, 7))
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    given = {"pixel_values": images, "input_ids": ids, "attention_mask": mask.long()}
    seen, text = module.see(images), Text(ids, mask)
    matched = theirs(**given, use_image_text_matching_head=True).logits_per_image
    torch.testing.assert_close(module.match(seen, text, torch.arange(2)), matched, rtol=1e-4, atol=1e-5)
    compared = theirs(**given, use_image_text_matching_head=False)
    torch.testing.assert_close(module.embed_seen(seen), compared.image_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(module.embed_text(text), compared.text_embeds, rtol=1e-4, atol=1e-5)


def test_a_bias_of_the_keys_is_left_out_and_changes_nothing(tmp_path: Path) -> None:
    model = model_of(GRAPHS["eva"])
    assert isinstance(model.module, QueryAligner)
    with torch.no_grad():
        for layer in model.module.retriever.vision.layers:
            layer.attend.k.bias.add_(torch.randn(88))
        again = chiasm.load(chiasm.export(model, tmp_path / "out", format="lavis"))
        images = torch.randn(2, 3, 16, 16)
        seen = [one.module.see(images) for one in (model, again)]
    torch.testing.assert_close(*seen, rtol=1e-4, atol=1e-4)


def test_a_file_without_its_tower_says_what_to_do(tmp_path: Path) -> None:
    path = chiasm.export(model_of(GRAPHS["eva"]), tmp_path / "out", format="lavis") / "lavis.pth"
    held = torch.load(path, weights_only=True)["model"]
    kept = {name: value for name, value in held.items() if not name.startswith("visual_encoder.")}
    torch.save({"model": kept}, tmp_path / "trained.pth")
    with pytest.raises(ValueError, match="lacks visual_encoder: LAVIS saves what it trains") as refused:
        chiasm.load(tmp_path / "trained.pth")
    assert "torch.save(" in str(refused.value)
    assert "Pass base= (--base)" in str(refused.value)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (replace(EVA, dim=40, heads=5), "a width of 40 makes no heads of 88, as all files of this form have"),
        (replace(CLIP, dim=40, heads=5), "a width of 40 makes no heads of 64"),
    ],
)
def test_widths_that_no_heads_divide_are_told(config: ViT.Config, told: str, tmp_path: Path) -> None:
    """Both who writes such a file and who is given one."""
    small = replace(GRAPHS["eva"].retriever, vision=config, qformer=replace(WORDS, image_dim=40))
    model = model_of(QueryAligner.Config(retriever=small))
    with pytest.raises(ValueError, match=rf"format 'lavis' cannot hold this model: {told}.*; it can be written as"):
        chiasm.export(model, tmp_path / "out", format="lavis")
    tensors = untranslate(state(model.module), LAYOUTS[0].rules_for(model.config), source="the model")
    torch.save({"model": tensors}, tmp_path / "small.pth")
    with pytest.raises(ValueError, match=told):
        chiasm.load(tmp_path / "small.pth")


def test_special_tokens_are_where_the_tokenizer_beside_a_file_has_them(tmp_path: Path) -> None:
    """A file says none: they are BERT's own, unless another tokenizer lies there; and so it is written again."""
    words = Tokenizer.builtin()
    small = GRAPHS["eva"].fitted(words.vocab, MARKERS)
    out = chiasm.export(model_of(small), tmp_path / "out", format="lavis")
    words.save(out / "tokenizer.json")
    model = chiasm.load(out)
    here = words.markers
    assert model.config.retriever.markers == replace(here, enc=here.cls)
    again = chiasm.export(model, tmp_path / "again", format="lavis")
    assert (again / "tokenizer.json").is_file()
    assert chiasm.load(again).config == model.config


@pytest.mark.parametrize("form", ["first stage", "retriever"])
def test_what_was_trained_goes_over_a_whole_first_stage_or_transformers_half(form: str, tmp_path: Path) -> None:
    model, base = model_of(GRAPHS["eva"]), model_of(GRAPHS["eva"])
    held = torch.load(chiasm.export(model, tmp_path / "out", format="lavis") / "lavis.pth", weights_only=True)["model"]
    kept = {name: value for name, value in held.items() if not name.startswith("visual_encoder.")}
    torch.save({"model": kept}, tmp_path / "trained.pth")
    with torch.no_grad():
        for name, weight in base.module.named_parameters():
            if not name.startswith("retriever.vision."):
                weight.zero_()
    if form == "first stage":
        whole = chiasm.export(base, tmp_path / "base", format="lavis") / "lavis.pth"
    else:
        about = replace(base.card, config=base.config.retriever)
        whole = chiasm.export(Predictor(base.module.retriever, about, None), tmp_path / "base", format="hf")
    again = chiasm.load(tmp_path / "trained.pth", base=whole, device="cpu")
    assert again.config == model.config
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[name]), name
