"""What every `config.json` of `transformers` says alike, whatever the model."""

from collections.abc import Mapping
from typing import Any

from chiasm.core.dialect import Found
from chiasm.nn.vit import NormedStem, PatchStem, ViT


def settings(found: Found, part: str, usual: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """A part's settings with the `usual` ones; raises where it asks for other than the `fixed`, which ours all have."""
    if not found.config:
        raise ValueError("weights of transformers need the config.json that they came with: it says the heads")
    given = {**usual, **(found.config.get(f"{part}_dict") or found.config.get(part) or {})}
    for name, value in fixed.items():
        if given.get(name, value) != value:
            raise ValueError(f"{part} has {name} {given[name]!r}, but chiasm always has {value!r}")
    return given


def vision(theirs: Mapping[str, Any], stem: PatchStem | NormedStem) -> ViT.Config:
    """A vision tower of such settings, but for its MLPs."""
    return ViT.Config(
        dim=theirs["hidden_size"],
        depth=theirs["num_hidden_layers"],
        heads=theirs["num_attention_heads"],
        image=theirs["image_size"],
        stem=stem,
        eps=theirs["layer_norm_eps"],
    )
