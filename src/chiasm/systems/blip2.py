"""BLIP-2: bootstrap from frozen picture encoders and frozen language models (arXiv:2301.12597).

    align      picture ─ ViT (frozen) ─ Q-Former ─ contrast + match + generate         what texts say of pictures
    retrieve   picture ─ ViT ────────── Q-Former ─ contrast + match + generate         clean, larger pictures
    match      picture ─ ViT ────────── Q-Former ─ contrast + match                    as transformers' files have it
    words      text ─ LM ─ language                                                    for lack of a published one
    generate   picture ─ ViT (frozen) ─ Q-Former ─ linear ─ LM (frozen) ─ language     what the LM makes of that
    caption    picture ─ ViT ────────── Q-Former ─ linear ─ LM (frozen) ─ language     clean, larger pictures
    vqa        picture ─ ViT ────────── Q-Former with the question ─ linear ─ LM (frozen) ─ language

The language model is brought to the second stage (`Run.brought`), and so is, to vqa, the text half of the
first stage's Q-Former, which the second has no use for. Numbers without a comment are from section 3 of the paper.
"""

from dataclasses import replace

from chiasm.archetypes.language_model import LanguageModel
from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.archetypes.spliced import PICTURES, SplicedLM, of_untold, seeing
from chiasm.core.stage import Stage
from chiasm.core.system import System
from chiasm.core.types import Markers, Wording
from chiasm.layouts import blip2_hf, blip2_lavis, spliced_hf, spliced_lavis
from chiasm.layouts.wordings import OPT, T5
from chiasm.nn import decoders, encdec, qformer, vit
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.language import LanguageConfig
from chiasm.nn.vit import Bare, ViT, clip_l14, eva_g14

DECODES = Wording(start=2, close=None, end=3, pad=0, question="question {} answer", turn="question {} answer")
TINY = Markers(pad=0, cls=2, sep=3, mask=4, dec=5, enc=6)
TOWER = vit.tiny(end=Bare())


def towers(vision: ViT.Config) -> QueryRetriever.Config:
    """32 queries over a tower, in BERT-base."""
    return QueryRetriever.Config(vision=vision, qformer=qformer.base(vision.dim), markers=blip2_lavis.MARKERS)


def tiny_towers(vision: ViT.Config = TOWER) -> QueryRetriever.Config:
    """Small pictures, short words, minutes on a CPU."""
    return QueryRetriever.Config(vision=vision, qformer=qformer.tiny(vision.dim), markers=TINY, embed=64)


def speaker(cfg: QueryRetriever.Config, lm: LanguageConfig, wording: Wording) -> SplicedLM.Config:
    """What speaks of what an aligner sees; its Q-Former reads pictures only."""
    return seeing(cfg.vision, bridge(cfg, replace(cfg.qformer, text=None)), lm, wording)


def asked(cfg: QueryRetriever.Config, lm: LanguageConfig, wording: Wording) -> SplicedLM.Config:
    """The same with a Q-Former that reads the question too."""
    return seeing(cfg.vision, bridge(cfg, cfg.qformer), lm, wording)


def bridge(cfg: QueryRetriever.Config, looks: qformer.QFormer.Config) -> QFormerConnector.Config:
    """That of the first stage, and the norm behind the tower with it."""
    return QFormerConnector.Config(qformer=looks, eps=cfg.norm.eps)


def tiny(vision: ViT.Config = TOWER) -> SplicedLM.Config:
    """With a decoder."""
    return speaker(tiny_towers(vision), decoders.tiny(256), DECODES)


def tiny_t5(vision: ViT.Config = TOWER) -> SplicedLM.Config:
    """With an encoder and a decoder."""
    return speaker(tiny_towers(vision), encdec.tiny(256), replace(DECODES, start=None, close=3))


TOWERLESS = (*(f"retriever.{part}" for part in ("vision_norm", "qformer", "*_head", "temperature")), "word_head")
MATCH = {"contrast": 1.0, "match": 1.0}
ALIGN = {**MATCH, "generate": 1.0}
SPEAK = {"language": 1.0}
BRIDGE, ENCODER = f"senses.{PICTURES}.connector", f"senses.{PICTURES}.encoder"
SYSTEM = System(
    paper="arXiv:2301.12597",
    weights=tuple(
        f"Salesforce/blip2-{name}"
        for name in (
            *("itm-vit-g", "itm-vit-g-coco", "opt-2.7b", "opt-2.7b-coco", "opt-6.7b", "opt-6.7b-coco"),
            *("flan-t5-xl", "flan-t5-xl-coco", "flan-t5-xxl"),
        )
    ),
    layouts=(*blip2_hf.LAYOUTS, *blip2_lavis.LAYOUTS, spliced_hf.BLIP2, spliced_lavis.BLIP2),
    vocabulary=blip2_lavis.WORDS,
    presets={
        "tiny-aligner": lambda: QueryAligner.Config(retriever=tiny_towers()),
        "tiny-retriever": tiny_towers,
        "tiny": tiny,
        "tiny-t5": tiny_t5,
        "tiny-lm": lambda: LanguageModel.Config(lm=decoders.tiny(256)),
        "tiny-vqa": lambda: asked(tiny_towers(), tiny().lm, tiny().wording),
        "aligner": lambda: QueryAligner.Config(retriever=towers(eva_g14())),
        "aligner-vit-l": lambda: QueryAligner.Config(retriever=towers(clip_l14())),
        "aligner-coco": lambda: QueryAligner.Config(retriever=towers(eva_g14(image=364))),
        "retriever-coco": lambda: towers(eva_g14(image=364)),
        "opt-2.7b": lambda: speaker(towers(eva_g14()), decoders.opt_2_7b(), OPT),
        "opt-2.7b-vit-l": lambda: speaker(towers(clip_l14()), decoders.opt_2_7b(), OPT),
        "opt-2.7b-coco": lambda: speaker(towers(eva_g14(image=364)), decoders.opt_2_7b(), OPT),
        "opt-2.7b-vqa": lambda: asked(towers(eva_g14(image=490)), decoders.opt_2_7b(), OPT),
        "opt-6.7b": lambda: speaker(towers(eva_g14()), decoders.opt_6_7b(), OPT),
        "flan-t5-xl": lambda: speaker(towers(eva_g14()), encdec.flan_t5_xl(), T5),
        "flan-t5-xl-vit-l": lambda: speaker(towers(clip_l14()), encdec.flan_t5_xl(), T5),
        "flan-t5-xxl": lambda: speaker(towers(eva_g14()), encdec.flan_t5_xxl(), T5),
    },
    stages=(
        Stage(name="align", preset="tiny-aligner", train=dict.fromkeys(TOWERLESS, 1.0), losses=ALIGN),
        Stage(name="retrieve", preset="tiny-aligner", train={"*": 1.0}, losses=ALIGN, inherit={"": ""}),
        Stage(name="match", preset="tiny-retriever", train={"*": 1.0}, losses=MATCH, inherit={"": "retriever"}),
        Stage(name="words", preset="tiny-lm", train={"lm": 1.0}, losses=SPEAK),
        Stage(
            name="generate",
            preset="tiny",
            train={BRIDGE: 1.0},
            losses=SPEAK,
            inherit={
                ENCODER: "retriever.vision",
                f"{BRIDGE}.norm": "retriever.vision_norm",
                f"{BRIDGE}.qformer": "retriever.qformer",
            },
        ),
        Stage(name="caption", preset="tiny", train={BRIDGE: 1.0, ENCODER: 1.0}, losses=SPEAK, inherit={"": ""}),
        Stage(
            name="vqa",
            preset="tiny-vqa",
            train={BRIDGE: 1.0, ENCODER: 1.0},
            losses=SPEAK,
            inherit=of_untold(PICTURES),
        ),
    ),
)
