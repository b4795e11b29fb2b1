"""CLIP as OpenCLIP has it: its config says what shapes do not, and what CLIP does not do is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import chiasm
from chiasm.archetypes.dual import DualEncoder
from chiasm.core.types import Fit, Pixels
from chiasm.nn.mlp import Activation
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

PIXELS = Pixels(size=24, mean=(0.5, 0.25, 0.125), std=(0.5, 0.5, 0.75), fit=Fit.CROP)
VISION = ViT.Config(dim=48, depth=2, heads=3, image=24, stem=NormedStem(patch=8), expansion=100 / 48, eps=1e-5)
TEXT = TextTower.Config(vocab=90, dim=40, depth=3, heads=5, max_len=9, expansion=70 / 40)
CONFIG = DualEncoder.Config(vision=VISION, text=TEXT, embed=12)


@pytest.fixture
def model() -> Predictor:
    torch.manual_seed(0)
    return Predictor(CONFIG.build(), ModelCard(system="clip", preset="custom", config=CONFIG, pixels=PIXELS), None)


@pytest.fixture
def folder(model: Predictor, tmp_path: Path) -> Path:
    return chiasm.export(model, tmp_path / "out", format="openclip")


def test_what_is_written_is_what_openclip_reads(folder: Path) -> None:
    assert json.loads((folder / "open_clip_config.json").read_text()) == {
        "model_cfg": {
            "embed_dim": 12, "quick_gelu": False,
            "vision_cfg": {
                "image_size": 24, "layers": 2, "width": 48, "patch_size": 8, "head_width": 16, "mlp_ratio": 100 / 48
            },
            "text_cfg": {
                "context_length": 9, "vocab_size": 90, "width": 40, "heads": 5, "layers": 3, "mlp_ratio": 70 / 40
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.25, 0.125], "std": [0.5, 0.5, 0.75], "interpolation": "bicubic", "resize_mode": "shortest"
        },
    }  # fmt: skip
    assert (folder / "open_clip_model.safetensors").is_file()


def test_there_and_back_are_the_same_bytes(model: Predictor, folder: Path) -> None:
    for path in (folder, folder / "open_clip_model.safetensors"):
        again = chiasm.load(path)
        assert again.config == CONFIG
        assert again.processor.pixels == PIXELS
        state = again.module.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())


def test_a_ratio_that_rounds_down_is_found_again(model: Predictor, tmp_path: Path) -> None:
    """OpenCLIP takes `int(width * mlp_ratio)`, and 49 * (99 / 49) is less than 99."""
    odd = replace(CONFIG, vision=replace(VISION, dim=49, heads=7, expansion=99 / 49))
    model = Predictor(odd.build(), replace(model.card, config=odd), None)
    folder = chiasm.export(model, tmp_path / "odd", format="openclip")
    about = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["vision_cfg"]
    assert int(49 * (99 / 49)) == 99 - 1
    assert int(about["width"] * about["mlp_ratio"]) == 99
    assert chiasm.load(folder).config == odd


def test_transformers_config_beside_is_for_its_own_file(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "clip", "architectures": ["CLIPModel"]}')
    assert chiasm.load(folder / "open_clip_model.safetensors").config == CONFIG


def changed(folder: Path, part: str, **entries: Any) -> None:
    path = folder / "open_clip_config.json"
    about = json.loads(path.read_text())
    (about["model_cfg"][part] if part in about["model_cfg"] else about[part]).update(entries)
    path.write_text(json.dumps(about))


def test_what_the_config_says_counts(folder: Path) -> None:
    changed(folder, "model_cfg", quick_gelu=True, init_logit_scale=2.0, custom_text=False)
    changed(folder, "vision_cfg", head_width=24, pool_type="tok", patch_dropout=0.5)
    changed(folder, "text_cfg", heads=4, pool_type="argmax", hf_tokenizer_name=None)
    changed(folder, "preprocess_cfg", resize_mode="squash", mode="RGB", fill_color=0)
    model = chiasm.load(folder)
    config = model.config
    assert isinstance(config, DualEncoder.Config)
    assert (config.vision.heads, config.text.heads) == (2, 4)
    assert (config.vision.activation, config.text.activation) == (Activation.QUICK_GELU,) * 2
    assert model.processor.pixels == replace(PIXELS, fit=Fit.SQUASH)


@pytest.mark.parametrize(
    ("part", "entries", "told"),
    [
        ("vision_cfg", {"pool_type": "avg"}, r"vision_cfg in open_clip_config.json asks for pool_type 'avg'"),
        ("text_cfg", {"pool_type": "tok"}, r"text_cfg .* asks for pool_type 'tok'"),
        ("text_cfg", {"no_causal_mask": True}, "asks for no_causal_mask True, which chiasm's CLIP does not do"),
        ("text_cfg", {"hf_tokenizer_name": "bert"}, "asks for hf_tokenizer_name 'bert'"),
        ("vision_cfg", {"width": 64}, r"towers \(64, 40\) wide, but the tensors beside it of \(48, 40\)"),
        ("vision_cfg", {"head_width": 0}, r"the config beside .* is damaged"),
        ("preprocess_cfg", {"interpolation": "bilinear"}, "interpolation 'bilinear', but chiasm resizes by a bicubic"),
        ("preprocess_cfg", {"resize_mode": "longest"}, "resize_mode 'longest', but chiasm has shortest, squash"),
        ("preprocess_cfg", {"mean": 0.5}, r"the config beside .* is damaged"),
    ],
)
def test_another_graph_is_refused(part: str, entries: dict[str, Any], told: str, folder: Path) -> None:
    changed(folder, part, **entries)
    with pytest.raises(ValueError, match=told):
        chiasm.load(folder)
