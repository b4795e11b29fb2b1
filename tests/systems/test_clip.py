"""CLIP has the published sizes, and learns from the pictures and not from texts alone."""

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from chiasm import catalogue
from chiasm.archetypes.dual import DualEncoder
from chiasm.nn.mlp import Activation
from chiasm.nn.vit import NormedStem
from chiasm.systems import clip

from .colours import learned

PUBLISHED = {"vit-b-32": 151.28, "vit-l-14": 427.62}  # millions
ACTIVATIONS = {Activation.GELU: "gelu", Activation.QUICK_GELU: "quick_gelu"}


def _theirs(config: DualEncoder.Config) -> CLIPModel:
    """Their model from our config, without memory."""
    vision, text = config.vision, config.text
    assert isinstance(vision.stem, NormedStem)
    described = CLIPConfig(
        vision_config={
            "hidden_size": vision.dim,
            "intermediate_size": round(vision.expansion * vision.dim),
            "num_hidden_layers": vision.depth,
            "num_attention_heads": vision.heads,
            "image_size": vision.image,
            "patch_size": vision.stem.patch,
            "hidden_act": ACTIVATIONS[vision.activation],
        },
        text_config={
            "vocab_size": text.vocab,
            "hidden_size": text.dim,
            "intermediate_size": 4 * text.dim,
            "num_hidden_layers": text.depth,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.max_len,
            "hidden_act": ACTIVATIONS[text.activation],
        },
        projection_dim=config.embed,
    )
    with torch.device("meta"):
        return CLIPModel(described)


@pytest.mark.parametrize("preset", [name for name in clip.SYSTEM.presets if name != "tiny"])
def test_sizes_are_those_of_transformers(preset: str) -> None:
    config = clip.SYSTEM.presets[preset]()
    assert isinstance(config, DualEncoder.Config)
    count = catalogue()["clip"].parameters(preset)
    assert count == sum(weight.numel() for weight in _theirs(config).parameters())
    if preset in PUBLISHED:
        assert count / 1e6 == pytest.approx(PUBLISHED[preset], abs=0.005)


def test_what_openai_and_laion_trained() -> None:
    """Activation, tokens of a picture, width of a head: what a count of parameters does not notice."""
    told = dict[str, tuple[Activation | int, ...]]()
    for preset in clip.SYSTEM.presets:
        config = clip.SYSTEM.presets[preset]()
        assert isinstance(config, DualEncoder.Config)
        vision, text = config.vision, config.text
        tokens, heads = (vision.image // vision.stem.patch) ** 2, (vision.dim // vision.heads, text.dim // text.heads)
        told[preset] = (vision.activation, text.activation, tokens, *heads)
    exact, quick = (Activation.GELU,) * 2, (Activation.QUICK_GELU,) * 2
    assert told["vit-b-32"] == (*quick, 49, 64, 64)
    assert told["vit-b-16"] == (*quick, 196, 64, 64)
    assert told["vit-l-14"] == (*quick, 256, 64, 64)
    assert told["vit-l-14-336"] == (*quick, 576, 64, 64)
    assert told["vit-h-14"] == (*exact, 256, 80, 64)
    assert told["vit-bigg-14"] == (*exact, 256, 104, 64)


def _trained(*, shuffled: bool) -> float:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model = clip.tiny().build()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return learned(model, optimiser, rng, steps=60, rows=24, shuffled=shuffled)["contrast"]


def test_it_learns_from_the_pictures() -> None:
    assert _trained(shuffled=False) < _trained(shuffled=True) - 0.5
