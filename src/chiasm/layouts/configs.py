"""What every `config.json` of `transformers` says alike, whatever the model."""

from collections.abc import Mapping
from typing import Any

from chiasm.core.dialect import Found
from chiasm.nn.mlp import Activation
from chiasm.nn.vit import NormedStem, PatchStem, ViT

ACTIVATIONS = {
    "relu": Activation.RELU,
    "gelu": Activation.GELU,
    "quick_gelu": Activation.QUICK_GELU,
    "gelu_new": Activation.TANH_GELU,
    "gelu_pytorch_tanh": Activation.TANH_GELU,
    "silu": Activation.SILU,
}
NAMES = {activation: name for name, activation in reversed(ACTIVATIONS.items())}


def settings(found: Found, part: str, usual: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """A part's settings with the `usual` ones; raises where it asks for other than the `fixed`, which ours all have."""
    if not found.config:
        raise ValueError("weights of transformers need the config.json that they came with: it says the heads")
    given = {**usual, **(found.config.get(f"{part}_dict") or found.config.get(part) or {})}
    for name, value in fixed.items():
        if given.get(name, value) != value:
            raise ValueError(f"{part} has {name} {given[name]!r}, but chiasm always has {value!r}")
    return given


def activation(theirs: Mapping[str, Any], part: str) -> Activation:
    """What bends in the MLPs of a part of such settings."""
    name = theirs["hidden_act"]
    if name not in ACTIVATIONS:
        raise ValueError(f"{part} has hidden_act {name!r}, but chiasm's has {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def expansion(theirs: Mapping[str, Any]) -> float:
    """How much wider its MLPs are."""
    return theirs["intermediate_size"] / theirs["hidden_size"]


def known(tokens: Mapping[str, int], vocab: int) -> Mapping[str, int]:
    """Those that there are: where nothing said what BERT's five are, its own numbers stood in for them."""
    return {name: token for name, token in tokens.items() if token < vocab}


def vision(theirs: Mapping[str, Any], stem: PatchStem | NormedStem) -> ViT.Config:
    """A vision tower of such settings."""
    return ViT.Config(
        dim=theirs["hidden_size"],
        depth=theirs["num_hidden_layers"],
        heads=theirs["num_attention_heads"],
        image=theirs["image_size"],
        stem=stem,
        expansion=expansion(theirs),
        activation=activation(theirs, "vision_config"),
        eps=theirs["layer_norm_eps"],
    )
