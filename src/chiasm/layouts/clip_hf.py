"""CLIP as `transformers` has it: `CLIPModel`, with a `config.json` beside the weights (arXiv:2103.00020).

What a config leaves out has the default of `transformers` 5 (CLIPTextConfig, CLIPVisionConfig). There
the feature of a text stands at the first `eos_token_id`, or, where that is 2, as in configs of before
2023, at the largest id: with a vocabulary of OpenAI's the last real token, both times.
"""

from collections.abc import Mapping
from typing import Any

from chiasm.archetypes.dual import DualEncoder
from chiasm.core.dialect import Found, Layout
from chiasm.layouts.configs import NAMES, activation, expansion, settings, vision
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, ViT
from chiasm.weights.dialects import clip

USUAL: Mapping[str, Any] = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "attention_dropout": 0.0}
TEXT: Mapping[str, Any] = {
    **USUAL, "vocab_size": 49_408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 8, "max_position_embeddings": 77, "eos_token_id": 49_407,
}  # fmt: skip
VISION: Mapping[str, Any] = {
    **USUAL, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "image_size": 224, "patch_size": 32, "num_channels": 3,
}  # fmt: skip
FIXED: Mapping[str, Any] = {"attention_dropout": 0.0, "num_channels": 3}  # there is nothing else in ours
LEGACY = 2  # an `eos_token_id` that stands for the largest id


def _fits(found: Found) -> bool:
    towers = {"vision_model.pre_layrnorm.weight", "text_model.final_layer_norm.weight", "logit_scale"}
    return towers <= found.shapes.keys() and found.config.get("model_type", "clip") == "clip"


def _vision(found: Found) -> ViT.Config:
    theirs = settings(found, "vision_config", VISION, FIXED)
    return vision(theirs, NormedStem(patch=theirs["patch_size"]))


def _text(found: Found) -> TextTower.Config:
    theirs = settings(found, "text_config", TEXT, FIXED)
    vocab, end = theirs["vocab_size"], theirs["eos_token_id"]
    return TextTower.Config(
        vocab=vocab,
        dim=theirs["hidden_size"],
        depth=theirs["num_hidden_layers"],
        heads=theirs["num_attention_heads"],
        max_len=theirs["max_position_embeddings"],
        expansion=expansion(theirs),
        activation=activation(theirs, "text_config"),
        eps=theirs["layer_norm_eps"],
        end=None if end in (LEGACY, vocab - 1) else end,
    )


def _read(found: Found) -> DualEncoder.Config:
    tower, words = _vision(found), _text(found)
    return DualEncoder.Config(vision=tower, text=words, embed=found.config.get("projection_dim", 512))


def _write(cfg: DualEncoder.Config) -> Mapping[str, Any]:
    eyes, text = cfg.vision, cfg.text
    end = text.vocab - 1 if text.end is None else text.end
    shared = {"projection_dim": cfg.embed}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": cfg.embed,
        "text_config": {
            "model_type": "clip_text_model", "vocab_size": text.vocab, "hidden_size": text.dim,
            "intermediate_size": round(text.expansion * text.dim), "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.max_len, "hidden_act": NAMES[text.activation], "layer_norm_eps": text.eps,
            "bos_token_id": None, "eos_token_id": end, "pad_token_id": end, **shared,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": eyes.dim,
            "intermediate_size": round(eyes.expansion * eyes.dim), "num_hidden_layers": eyes.depth,
            "num_attention_heads": eyes.heads, "image_size": eyes.image, "patch_size": eyes.stem.patch,
            "hidden_act": NAMES[eyes.activation], "layer_norm_eps": eyes.eps, **shared,
        },
    }  # fmt: skip


LAYOUTS = (
    Layout(format="hf", graph=DualEncoder.Config, fits=_fits, read=_read, write=_write, rules=clip.TRANSFORMERS),
)
