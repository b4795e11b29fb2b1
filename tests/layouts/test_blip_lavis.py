"""BLIP's original files: told from shapes alone, and written so that they read back to the same bytes."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BlipConfig, BlipForImageTextRetrieval

import chiasm
from chiasm.archetypes.align import Alignment
from chiasm.archetypes.answer import Answerer
from chiasm.archetypes.judge import TRUTH, Judge
from chiasm.archetypes.med import MED, Captioner, Retriever, Sharing
from chiasm.core.types import Pixels, Text
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.data.text import Tokenizer
from chiasm.layouts.blip_lavis import LAYOUTS, MARKERS
from chiasm.nn.bert import Bert
from chiasm.nn.mlp import Activation
from chiasm.nn.reading import TwoPictures
from chiasm.nn.vit import PatchStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard
from chiasm.weights.state import state
from chiasm.weights.translate import untranslate

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
VISION = ViT.Config(dim=192, depth=2, heads=3, image=32, stem=PatchStem(patch=8), expansion=100 / 192)
TEXT = Bert.Config(
    vocab=30_524, image_dim=192, dim=64, depth=3, heads=1, reads=(0, 1, 2), max_len=24, expansion=37 / 64
)
ALONE = Retriever.Config(vision=VISION, text=TEXT, markers=MARKERS, embed=12, alignment=None)
GRAPHS = {
    "caption": Captioner.Config(vision=VISION, text=TEXT, markers=MARKERS),
    "retrieve": ALONE,
    "pretrain": MED.Config(retriever=ALONE),
    "vqa": Answerer.Config(vision=VISION, question=TEXT, answer=replace(TEXT, image_dim=64), markers=MARKERS),
    "nlvr2": Judge.Config(
        vision=VISION, text=replace(TEXT, reading=TwoPictures(merges=2)), markers=MARKERS, labels=TRUTH
    ),
}
# what each head's file holds beside `visual_encoder` and the layers, as facts/blip-line.md 3.2 lists it
HEADS = {
    "caption": {"text_decoder.cls.predictions.bias", "text_decoder.bert.embeddings.word_embeddings.weight"},
    "retrieve": {"vision_proj.weight", "text_proj.bias", "itm_head.weight", "temp"},
    "pretrain": {"temp", "itm_head.bias", "text_decoder.bert.encoder.layer.2.crossattention.self.key.weight"},
    "vqa": {"text_encoder.encoder.layer.0.output.dense.weight", "text_decoder.cls.predictions.decoder.bias"},
    "nlvr2": {"cls_head.0.weight", "cls_head.2.bias", *(
        f"text_encoder.encoder.layer.{place}" for place in (
            "0.crossattention.self0.query.weight", "1.crossattention.self1.value.bias",
            "1.crossattention.output.dense1.weight", "2.crossattention.output.merge_layer.weight",
            "2.crossattention.output.LayerNorm.weight"))},
}  # fmt: skip


def model_of(config: Any, words: Tokenizer | None = None) -> Predictor:
    torch.manual_seed(0)
    pixels = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
    return Predictor(config.build(), ModelCard(system="blip", preset="custom", config=config, pixels=pixels), words)


def exported(config: Any, folder: Path) -> Path:
    return chiasm.export(model_of(config), folder / "out", format="lavis") / "lavis.pth"


@pytest.mark.parametrize("name", GRAPHS)
def test_shapes_tell_everything_there_and_back(tmp_path: Path, name: str) -> None:
    model, path = model_of(GRAPHS[name]), exported(GRAPHS[name], tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    assert held.keys() >= HEADS[name]
    assert ("text_encoder.encoder.layer.1.crossattention.output.merge_layer.weight" in held) is False
    again = chiasm.load(path)
    assert again.config == model.config
    assert again.processor.pixels == model.processor.pixels
    assert again.module.state_dict().keys() == model.module.state_dict().keys()
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[key]), key


def theirs_of(path: Path, kind: type[Any]) -> Any:
    """A model of `transformers` with an original file's tensors, renamed by facts/blip-line.md 3.4."""
    names = {
        r"^visual_encoder\.cls_token": "vision_model.embeddings.class_embedding",
        r"^visual_encoder\.pos_embed": "vision_model.embeddings.position_embedding",
        r"^visual_encoder\.patch_embed\.proj": "vision_model.embeddings.patch_embedding",
        r"^visual_encoder\.blocks\.(\d+)\.norm(\d)": r"vision_model.encoder.layers.\1.layer_norm\2",
        r"^visual_encoder\.blocks\.(\d+)\.attn\.qkv": r"vision_model.encoder.layers.\1.self_attn.qkv",
        r"^visual_encoder\.blocks\.(\d+)\.attn\.proj": r"vision_model.encoder.layers.\1.self_attn.projection",
        r"^visual_encoder\.blocks\.(\d+)\.mlp": r"vision_model.encoder.layers.\1.mlp",
        r"^visual_encoder\.norm": "vision_model.post_layernorm",
    }
    held = torch.load(path, weights_only=True)["model"]
    held.pop("temp", None)
    for old, new in names.items():
        held = {re.sub(old, new, name): value for name, value in held.items()}
    vision = {
        "hidden_size": 192, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 3,
        "image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6,
    }  # fmt: skip
    text = {
        "vocab_size": 30_524, "hidden_size": 64, "intermediate_size": 37, "num_hidden_layers": 3,
        "num_attention_heads": 1, "max_position_embeddings": 24, "encoder_hidden_size": 192,
    }  # fmt: skip
    theirs = kind(BlipConfig(vision_config=vision, text_config=text, image_text_hidden_size=12)).eval()
    theirs.load_state_dict(held, strict=True)
    return theirs


@torch.inference_mode()
def test_an_original_file_computes_what_transformers_does(tmp_path: Path) -> None:
    path = exported(ALONE, tmp_path)
    theirs, module = theirs_of(path, BlipForImageTextRetrieval), chiasm.load(path).module
    torch.manual_seed(1)
    images, ids = torch.randn(2, 3, 32, 32), torch.randint(999, 30_000, (2, 7))
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    asked = {"pixel_values": images, "input_ids": ids.clone(), "attention_mask": mask.long()}
    asked["input_ids"][:, 0] = MARKERS.enc
    said = module.match(module.see(images), Text(ids, mask), torch.arange(2))
    torch.testing.assert_close(said, theirs(**asked).itm_score, rtol=1e-4, atol=1e-5)


def test_momentum_and_queues_stay_behind(tmp_path: Path) -> None:
    path = exported(ALONE, tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    gone = {name.replace(".", "_m.", 1): value + 1 for name, value in held.items() if "." in name and "itm" not in name}
    queues = {"image_queue": torch.randn(12, 8), "text_queue": torch.randn(12, 8), "idx_queue": torch.zeros(1, 8)}
    numbers = {"text_encoder.embeddings.position_ids": torch.arange(24)[None], "ptr_queue": torch.zeros(1)}
    torch.save({"model": held | gone | queues | numbers, "epoch": 5}, path)
    model = chiasm.load(path)
    assert model.config == ALONE
    assert torch.equal(model.module.state_dict()["temperature"], held["temp"])


@pytest.mark.parametrize("name", ["retrieve", "pretrain"])
def test_what_only_training_needs_is_not_written(tmp_path: Path, name: str) -> None:
    learns = replace(ALONE, alignment=Alignment.Config(queue=8, ramp=3))
    path = exported(learns if name == "retrieve" else MED.Config(retriever=learns), tmp_path)
    assert chiasm.load(path).config == GRAPHS[name]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(ALONE, vision=replace(VISION, heads=2)), r"cannot say that vision\.heads is 2: .* take it to be 3"),
        (replace(ALONE, text=replace(TEXT, reads=(1, 2))), r"cannot hold this model"),
        (replace(ALONE, markers=replace(MARKERS, enc=7)), r"cannot say that markers\.enc is 7"),
        (replace(ALONE, text=replace(TEXT, activation=Activation.RELU)), r"cannot say that text\.activation is 'RELU'"),
        (MED.Config(retriever=ALONE, sharing=Sharing.NONE), r"holds what this layout has no name for"),
    ],
)
def test_what_a_file_cannot_say_is_not_written(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exported(config, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_is_asked_for_when_words_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="brings no tokenizer"):
        chiasm.load(exported(GRAPHS["caption"], tmp_path)).caption(PICTURE)


def _untied(held: dict[str, torch.Tensor]) -> None:
    held["text_decoder.cls.predictions.decoder.weight"] = held["text_decoder.cls.predictions.decoder.weight"] + 1


def _surplus(held: dict[str, torch.Tensor]) -> None:
    held["visual_encoder.head.weight"] = torch.ones(1)


def _missing(held: dict[str, torch.Tensor]) -> None:
    del held["visual_encoder.norm.bias"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_untied, r"decoder.weight .* should equal .*word_embeddings.weight"),
        (_missing, r"the file lacks visual_encoder.norm.bias"),
        (_surplus, r"does not know: visual_encoder.head.weight"),
    ],
)
def test_strict_to_the_last_tensor(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    path = exported(GRAPHS["caption"], tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    change(held)
    torch.save(held, path)
    with pytest.raises(ValueError, match=message):
        chiasm.load(path)


def test_what_lacks_a_head_is_told_by_what_it_is_most_like(tmp_path: Path) -> None:
    path = exported(GRAPHS["pretrain"], tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    del held["itm_head.weight"], held["text_decoder.cls.predictions.bias"]
    torch.save(held | {"foo.bar": torch.ones(1)}, path)
    lacks = r"the file lacks itm_head.weight, text_decoder.cls.predictions.bias; this layout does not know: foo.bar$"
    with pytest.raises(ValueError, match=lacks):
        chiasm.load(path)


def rules_of(config: Any) -> Any:
    return next(one for one in LAYOUTS if one.graph is type(config)).rules_for(config)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_was_trained_goes_over_a_base(name: str, tmp_path: Path) -> None:
    model, path = model_of(GRAPHS[name]), exported(GRAPHS[name], tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    kept = {key: value + 1 for key, value in held.items() if not key.startswith("visual_encoder.")}
    torch.save(kept, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"part\.pth holds only a part of a model: .*pass base= \(--base\)"):
        chiasm.load(tmp_path / "part.pth")
    base = chiasm.export(model, tmp_path / "hf") if name == "retrieve" else path
    again = chiasm.load(tmp_path / "part.pth", base=base, device="cpu")
    assert again.config == model.config
    now = untranslate(state(again.module), rules_of(model.config), source="model")
    assert all(torch.equal(kept.get(key, held[key]), value) for key, value in now.items())
    torch.save(kept | {"foo.bar": torch.ones(1)}, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"does not know: foo\.bar"):
        chiasm.load(tmp_path / "part.pth", base=path)


def test_without_a_temperature_it_is_that_of_the_start_of_training(tmp_path: Path) -> None:
    path = exported(ALONE, tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    del held["temp"]
    torch.save(held, path)
    assert chiasm.load(path).module.state_dict()["temperature"] == pytest.approx(0.07)
