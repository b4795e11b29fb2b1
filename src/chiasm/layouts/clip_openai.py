"""CLIP's original files: tensors and nothing else, so that shapes say what it is (arXiv:2103.00020).

What shapes cannot say is what was published: heads of 64 and QuickGELU. For the widths of `WIDE`, which
only OpenCLIP has (arXiv:2212.07143), that is heads of its own and the exact GELU. A smaller model of
OpenCLIP's without its `open_clip_config.json` looks like one of OpenAI's, and is taken for it.
"""

import math
from collections.abc import Mapping
from typing import Any

from chiasm.archetypes.dual import DualEncoder
from chiasm.core.dialect import Found, Layout
from chiasm.layouts.original import heads
from chiasm.nn.mlp import Activation
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, ViT
from chiasm.weights.dialects import clip

HEAD = 64
WIDE = {1280: 80, 1408: 88, 1664: 104}  # width of ViT-H, -g and -bigG: of their heads
EPS = 1e-5  # of every norm
NAMES = {"visual.class_embedding", "visual.ln_pre.weight", "ln_final.weight", "text_projection"}
Unsaid = tuple[int, int, Activation]  # heads that see, heads that read, and what bends in both


def named(found: Found) -> bool:
    """Whether tensors are called as OpenAI calls them."""
    return found.shapes.keys() >= NAMES


def sized(found: Found, unsaid: Unsaid) -> DualEncoder.Config:
    """All that shapes say, and what they do not."""
    sees, reads, activation = unsaid
    dim, _, patch, _ = found.shape("visual.conv1.weight")
    hidden, _ = found.shape("visual.transformer.resblocks.0.mlp.c_fc.weight")
    wide, _ = found.shape("transformer.resblocks.0.mlp.c_fc.weight")
    vocab, width = found.shape("token_embedding.weight")
    vision = ViT.Config(
        dim=dim, depth=found.count("visual.transformer.resblocks."), heads=sees,
        image=patch * math.isqrt(found.shape("visual.positional_embedding")[0] - 1), stem=NormedStem(patch=patch),
        expansion=hidden / dim, activation=activation, eps=EPS,
    )  # fmt: skip
    text = TextTower.Config(
        vocab=vocab, dim=width, depth=found.count("transformer.resblocks."), heads=reads,
        max_len=found.shape("positional_embedding")[0], expansion=wide / width, activation=activation, eps=EPS,
    )  # fmt: skip
    return DualEncoder.Config(vision=vision, text=text, embed=found.shape("text_projection")[1])


def require_eps(cfg: DualEncoder.Config) -> None:
    """Raise where norms have another eps, for which such files have no word."""
    if {cfg.vision.eps, cfg.text.eps} != {EPS}:
        raise ValueError(f"OpenAI's CLIP has norms of eps {EPS}, but this one of {cfg.vision.eps} and {cfg.text.eps}")


def _assumed(vision: int, text: int) -> Unsaid:
    """What towers of these widths have, as published."""
    activation = Activation.GELU if vision in WIDE else Activation.QUICK_GELU
    return heads(vision, WIDE.get(vision, HEAD)), heads(text, HEAD), activation


def _read(found: Found) -> DualEncoder.Config:
    return sized(found, _assumed(found.shape("visual.conv1.weight")[0], found.shape("token_embedding.weight")[1]))


def _write(cfg: DualEncoder.Config) -> Mapping[str, Any]:
    require_eps(cfg)
    return {}


LAYOUTS = (
    Layout(
        format="openai",
        graph=DualEncoder.Config,
        fits=lambda found: named(found) and "model_cfg" not in found.config,
        read=_read,
        write=_write,
        rules=clip.OPENAI,
        inside=None,
    ),
)
