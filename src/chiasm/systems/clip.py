"""CLIP: learn to see from pictures and the words that came with them (arXiv:2103.00020).

    pretrain   picture ─ ViT ─┐
                              ├─ contrast                            pairs, noisy or not
               text ─ tower ──┘

Widths and depths are those of table 20; `vit-h-14` and `vit-bigg-14` are what OpenCLIP and LAION added.
A text is `<start> words <end>`: what other tokenizers call [CLS] and [SEP].
"""

from chiasm.archetypes.dual import DualEncoder
from chiasm.core.stage import Stage
from chiasm.core.system import System, Vocabulary
from chiasm.core.types import Fit
from chiasm.layouts import clip_hf, clip_openai, clip_openclip
from chiasm.nn import vit
from chiasm.nn.mlp import Activation
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, Stem, ViT

NORMED_PATCHES = NormedStem(patch=8)
VOCAB = 49_408  # OpenAI's byte pairs, of which the last two are start and end of text
WORDS = Vocabulary(
    name="openai/clip-vit-base-patch32", revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", words=VOCAB
)


def vit_b_32() -> DualEncoder.Config:
    """151 M parameters."""
    return _base(patch=32)


def vit_b_16() -> DualEncoder.Config:
    """150 M parameters: four times the patches."""
    return _base(patch=16)


def vit_l_14(*, image: int = 224) -> DualEncoder.Config:
    """428 M parameters."""
    quick = Activation.QUICK_GELU
    return DualEncoder.Config(
        vision=_vision(dim=1024, depth=24, heads=16, patch=14, image=image, activation=quick),
        text=_text(dim=768, depth=12, heads=12, activation=quick),
        embed=768,
    )


def vit_h_14() -> DualEncoder.Config:
    """986 M parameters; LAION's models use the exact GELU."""
    return DualEncoder.Config(
        vision=_vision(dim=1280, depth=32, heads=16, patch=14), text=_text(dim=1024, depth=24, heads=16), embed=1024
    )


def vit_bigg_14() -> DualEncoder.Config:
    """2.5 G parameters."""
    return DualEncoder.Config(
        vision=_vision(dim=1664, depth=48, heads=16, patch=14, expansion=8192 / 1664),
        text=_text(dim=1280, depth=32, heads=20),
        embed=1280,
    )


def tiny(stem: Stem = NORMED_PATCHES) -> DualEncoder.Config:
    """Small pictures, short words, minutes on a CPU."""
    return DualEncoder.Config(
        vision=vit.tiny(stem),
        text=TextTower.Config(vocab=256, dim=64, depth=2, heads=2, max_len=64),
        embed=64,
    )


def _base(*, patch: int) -> DualEncoder.Config:
    quick = Activation.QUICK_GELU
    return DualEncoder.Config(
        vision=_vision(dim=768, depth=12, heads=12, patch=patch, activation=quick),
        text=_text(dim=512, depth=12, heads=8, activation=quick),
        embed=512,
    )


def _vision(
    *,
    dim: int,
    depth: int,
    heads: int,
    patch: int,
    image: int = 224,
    expansion: float = 4.0,
    activation: Activation = Activation.GELU,
) -> ViT.Config:
    return ViT.Config(
        dim=dim, depth=depth, heads=heads, image=image, stem=NormedStem(patch=patch), expansion=expansion,
        activation=activation, eps=1e-5,
    )  # fmt: skip


def _text(*, dim: int, depth: int, heads: int, activation: Activation = Activation.GELU) -> TextTower.Config:
    return TextTower.Config(vocab=VOCAB, dim=dim, depth=depth, heads=heads, activation=activation)


SYSTEM = System(
    paper="arXiv:2103.00020",
    weights=(
        *(f"openai/clip-vit-{size}" for size in ("base-patch32", "base-patch16", "large-patch14", "large-patch14-336")),
        *("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"),
    ),
    presets={
        "tiny": tiny,
        "vit-b-32": vit_b_32,
        "vit-b-16": vit_b_16,
        "vit-l-14": vit_l_14,
        "vit-l-14-336": lambda: vit_l_14(image=336),
        "vit-h-14": vit_h_14,
        "vit-bigg-14": vit_bigg_14,
    },
    stages=(
        Stage(
            name="pretrain",
            preset="tiny",
            train={"vision": 1.0, "text": 1.0, "*_head": 1.0, "log_scale": 1.0},
            losses={"contrast": 1.0},
        ),
    ),
    layouts=(*clip_hf.LAYOUTS, *clip_openai.LAYOUTS, *clip_openclip.LAYOUTS),
    fit=Fit.CROP,
    vocabulary=WORDS,
)
