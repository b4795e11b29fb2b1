"""ALBEF: align before fuse, with momentum distillation (arXiv:2107.07651).

    pretrain   picture ─ ViT ─┬─ contrast ─ lower half of BERT ─ text                noisy pairs
                              └─ upper half of BERT ─ match + masked words
    retrieve   the same without masked words                                         clean pairs

The twin's advice softens the targets of contrast and of masked words (section 3.3). A text's rows of
one meaning are right for each other, in the batch and in the queue. Numbers without a comment are
from sections 3.4 and 4 of the paper.
"""

from dataclasses import replace

from chiasm.archetypes.fusion import Fusion, MaskedFusion
from chiasm.core.stage import Stage
from chiasm.core.system import System
from chiasm.core.types import Markers
from chiasm.nn.bert import Bert
from chiasm.nn.vit import ConvStem, PatchStem, ViT

# bert-base-uncased; it has no tokens for BLIP's two, which no graph here asks for
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=102, enc=101)


def base() -> MaskedFusion.Config:
    """ViT-B/16 and BERT-base at 256 pixels: 210 M parameters."""
    vision = ViT.Config(dim=768, depth=12, heads=12, image=256, stem=PatchStem(patch=16))
    text = Bert.Config(vocab=30_522, image_dim=768, reads=(6, 7, 8, 9, 10, 11))
    # the ramp is one epoch of 4 M pictures in batches of 512
    return MaskedFusion.Config(fusion=Fusion.Config(vision=vision, text=text, markers=MARKERS, ramp=7_800))


def tiny() -> MaskedFusion.Config:
    """Small pictures, short words, minutes on a CPU: the size of `blip.tiny`."""
    std = 0.18  # see nn/init.py
    vision = ViT.Config(dim=64, depth=2, heads=2, image=32, stem=ConvStem(widths=(16, 32, 64)), std=std)
    text = Bert.Config(vocab=256, image_dim=64, dim=64, depth=2, heads=2, reads=(1,), max_len=64, dropout=0.0, std=std)
    markers = Markers(pad=0, cls=2, sep=3, mask=4, dec=5, enc=6)
    # a twin and a queue that keep up with a run of hundreds of steps
    fusion = Fusion.Config(vision=vision, text=text, markers=markers, embed=64, queue=256, momentum=0.9, ramp=250)
    return MaskedFusion.Config(fusion=fusion)


def retriever(cfg: MaskedFusion.Config, *, image: int | None = None) -> Fusion.Config:
    """What search and matching need of a pre-trained model, perhaps at another picture size."""
    vision = cfg.fusion.vision
    return replace(cfg.fusion, vision=vision if image is None else replace(vision, image=image))


SYSTEM = System(
    paper="arXiv:2107.07651",
    presets={
        "tiny": tiny,
        "tiny-retrieve": lambda: retriever(tiny()),
        "base": base,
        "base-retrieve": lambda: retriever(base(), image=384),
    },
    stages=(
        Stage(
            name="pretrain",
            preset="tiny",
            train={"fusion": 1.0, "word_head": 1.0},
            losses={"contrast": 1.0, "match": 1.0, "masked": 1.0},
        ),
        Stage(
            name="retrieve",
            preset="tiny-retrieve",
            train={"towers": 1.0, "alignment.temperature": 1.0, "match_head": 1.0},
            losses={"contrast": 1.0, "match": 1.0},
            inherit={"": "fusion"},
        ),
    ),
)
