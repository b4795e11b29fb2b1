"""CLIP as OpenCLIP has it: OpenAI's names, and an `open_clip_config.json` beside them (arXiv:2212.07143).

OpenCLIP builds many graphs; whatever its config asks for beyond CLIP's own is an error.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chiasm.archetypes.dual import DualEncoder
from chiasm.core.dialect import Eyes, Found, Layout
from chiasm.core.types import Fit, Pixels
from chiasm.layouts.clip_openai import HEAD, named, require_eps, sized
from chiasm.nn.mlp import Activation
from chiasm.weights.dialects import clip

CONFIG, ABOUT, LOOK = "open_clip_config.json", "model_cfg", "preprocess_cfg"
KNOWN = {
    ABOUT: {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "init_logit_scale"},
    "vision_cfg": {"image_size", "layers", "width", "patch_size", "mlp_ratio", "head_width", "patch_dropout"},
    "text_cfg": {"context_length", "vocab_size", "layers", "width", "heads", "mlp_ratio"},
}
CLIPS = {"vision_cfg": {"pool_type": "tok"}, "text_cfg": {"pool_type": "argmax"}}  # what CLIP does, said aloud
FITS = {"shortest": Fit.CROP, "squash": Fit.SQUASH}


def _read(found: Found) -> DualEncoder.Config:
    about = found.config[ABOUT]
    vision, text = about["vision_cfg"], about["text_cfg"]
    for part, said in {ABOUT: about, "vision_cfg": vision, "text_cfg": text}.items():
        _check(part, said)
    widths = found.shape("visual.conv1.weight")[0], found.shape("token_embedding.weight")[1]
    if widths != (told := (vision["width"], text["width"])):
        raise ValueError(f"{CONFIG} is of towers {told} wide, but the tensors beside it of {widths}")
    activation = Activation.QUICK_GELU if about.get("quick_gelu") else Activation.GELU
    cfg = sized(found, (widths[0] // vision.get("head_width", HEAD), text.get("heads", 8), activation))
    return replace(cfg, vision=cfg.vision.sized(vision.get("image_size")))


def _check(part: str, said: Mapping[str, Any]) -> None:
    """Raise what would be another graph."""
    for name, value in said.items():
        if value and name not in KNOWN[part] and CLIPS.get(part, {}).get(name) != value:
            raise ValueError(f"{part} in {CONFIG} asks for {name} {value!r}, which chiasm's CLIP does not do")


def _write(cfg: DualEncoder.Config) -> Mapping[str, Any]:
    require_eps(cfg)
    vision, text = cfg.vision, cfg.text
    return {
        ABOUT: {
            "embed_dim": cfg.embed, "quick_gelu": vision.activation is Activation.QUICK_GELU,
            "vision_cfg": {
                "image_size": vision.image, "layers": vision.depth, "width": vision.dim,
                "patch_size": vision.stem.patch, "head_width": vision.dim // vision.heads,
                "mlp_ratio": _ratio(vision.dim, round(vision.expansion * vision.dim)),
            },
            "text_cfg": {
                "context_length": text.max_len, "vocab_size": text.vocab, "width": text.dim, "heads": text.heads,
                "layers": text.depth, "mlp_ratio": _ratio(text.dim, round(text.expansion * text.dim)),
            },
        }
    }  # fmt: skip


def _ratio(dim: int, hidden: int) -> float:
    """So that OpenCLIP, which rounds down, finds `hidden` again."""
    ratio = hidden / dim
    return ratio if int(dim * ratio) == hidden else math.nextafter(ratio, math.inf)


def _look(config: Mapping[str, Any], usual: Pixels) -> Pixels:
    said: Mapping[str, Any] = config.get(LOOK, {})
    if (way := said.get("interpolation", "bicubic")) != "bicubic":
        raise ValueError(f"{LOOK} in {CONFIG} asks for interpolation {way!r}, but chiasm resizes by a bicubic filter")
    if (mode := said.get("resize_mode", "shortest")) not in FITS:
        raise ValueError(f"{LOOK} in {CONFIG} asks for resize_mode {mode!r}, but chiasm has {', '.join(FITS)}")
    mean, std = said.get("mean", usual.mean), said.get("std", usual.std)
    return replace(usual, mean=_three(mean), std=_three(std), fit=FITS[mode])


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _show(pixels: Pixels) -> Mapping[str, Any]:
    mode = next(mode for mode, fit in FITS.items() if fit is pixels.fit)
    return {
        LOOK: {"mean": [*pixels.mean], "std": [*pixels.std], "interpolation": "bicubic", "resize_mode": mode}
    }  # fmt: skip


LAYOUTS = (
    Layout(
        format="openclip",
        graph=DualEncoder.Config,
        fits=lambda found: named(found) and ABOUT in found.config,
        read=_read,
        write=_write,
        rules=clip.OPENAI,
        files=(CONFIG, "open_clip_model.safetensors"),
        eyes=Eyes(read=_look, write=_show),
    ),
)
