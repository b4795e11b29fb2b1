"""BLIP-2: bootstrap from frozen picture encoders and frozen language models (arXiv:2301.12597).

    align      picture ─ ViT (frozen) ─ Q-Former ─ contrast + match + generate   what texts say of pictures
    retrieve   picture ─ ViT ────────── Q-Former ─ contrast + match + generate   clean, larger pictures

Numbers without a comment are from section 3 of the paper.
"""

from chiasm.archetypes.queries import QueryAligner
from chiasm.core.stage import Stage
from chiasm.core.system import System, Vocabulary
from chiasm.core.types import Markers
from chiasm.layouts import original
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import ConvStem, ViT, clip_l14, eva_g14

VOCAB = 30_523
# bert-base-uncased and [DEC]; a match has no token of its own
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=30_522, enc=101)


def aligner(vision: ViT.Config) -> QueryAligner.Config:
    """32 queries over a tower, in BERT-base."""
    qformer = QFormer.Config(image_dim=vision.dim, text=Words(vocab=VOCAB))
    return QueryAligner.Config(vision=vision, qformer=qformer, markers=MARKERS)


def tiny_aligner() -> QueryAligner.Config:
    """Small pictures, short words, minutes on a CPU."""
    std = 0.18  # see nn/init.py
    vision = ViT.Config(dim=64, depth=2, heads=2, image=32, stem=ConvStem(widths=(16, 32, 64)), eps=1e-5, std=std)
    qformer = QFormer.Config(
        image_dim=64, text=Words(vocab=256, max_len=64), queries=8, dim=64, depth=2, heads=2, reads=(0,), dropout=0.0,
        std=std,
    )  # fmt: skip
    markers = Markers(pad=0, cls=2, sep=3, mask=4, dec=5, enc=6)
    return QueryAligner.Config(vision=vision, qformer=qformer, markers=markers, embed=64)


ALIGNS = {"vision_norm": 1.0, "qformer": 1.0, "*_head": 1.0, "temperature": 1.0}
LOSSES = {"contrast": 1.0, "match": 1.0, "generate": 1.0}
SYSTEM = System(
    paper="arXiv:2301.12597",
    vocabulary=Vocabulary(name=original.BERT, revision=original.COMMIT, words=VOCAB),
    presets={
        "tiny": tiny_aligner,
        "tiny-aligner": tiny_aligner,
        "aligner": lambda: aligner(eva_g14()),
        "aligner-vit-l": lambda: aligner(clip_l14()),
        "aligner-coco": lambda: aligner(eva_g14(image=364)),
    },
    stages=(
        Stage(name="align", preset="tiny-aligner", train=ALIGNS, losses=LOSSES),
        Stage(
            name="retrieve",
            preset="tiny-aligner",
            train={"vision": 1.0, **ALIGNS},
            losses=LOSSES,
            inherit={"": ""},
        ),
    ),
)
