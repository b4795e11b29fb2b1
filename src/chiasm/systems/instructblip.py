"""InstructBLIP: a Q-Former that is told what to look for (arXiv:2305.06500).

    instruct   picture ─ ViT (frozen) ─ Q-Former with the instruction ─ linear ─┐
               instruction ─────────────────────────────────────────────────────┴─ LM (frozen) ─ language

It begins as BLIP-2's second stage ended; the text half of the Q-Former is brought from the first stage
(`Run.brought`). Numbers without a comment are from section 2 of the paper.
"""

from dataclasses import replace

from chiasm.archetypes.spliced import PICTURES, SplicedLM, of_untold, seeing
from chiasm.core.stage import Stage
from chiasm.core.system import System
from chiasm.core.types import Wording
from chiasm.layouts import blip2_lavis, spliced_hf, spliced_lavis
from chiasm.layouts.wordings import INSTRUCTED_T5, VICUNA
from chiasm.nn import decoders, encdec, qformer, vit
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.language import LanguageConfig
from chiasm.nn.vit import Bare, ViT, eva_g14

TINY = Wording(start=2, close=None, end=3, pad=0, question="question {} answer")
TOWER = vit.tiny(end=Bare())


def published(lm: LanguageConfig, wording: Wording) -> SplicedLM.Config:
    """ViT-g at 224 pixels, and 32 queries in BERT-base."""
    vision = eva_g14()
    return seeing(vision, QFormerConnector.Config(qformer=qformer.base(vision.dim), eps=spliced_lavis.EPS), lm, wording)


def tiny(lm: LanguageConfig, wording: Wording, vision: ViT.Config = TOWER) -> SplicedLM.Config:
    """Small pictures, short words, minutes on a CPU."""
    return seeing(vision, QFormerConnector.Config(qformer=qformer.tiny(vision.dim)), lm, wording)


def static(cfg: SplicedLM.Config) -> SplicedLM.Config:
    """The ablation of section 3.2: the instruction goes to the language model alone."""
    (sense,) = cfg.senses
    match sense.connector:
        case QFormerConnector.Config() as connector:
            untold = replace(connector, qformer=replace(connector.qformer, text=None))
            return replace(cfg, senses=(replace(sense, connector=untold),))
        case _:
            return cfg


BRIDGE = f"senses.{PICTURES}.connector"
SYSTEM = System(
    paper="arXiv:2305.06500",
    weights=tuple(f"Salesforce/instructblip-{lm}" for lm in ("vicuna-7b", "vicuna-13b", "flan-t5-xl", "flan-t5-xxl")),
    layouts=(spliced_hf.INSTRUCTBLIP, spliced_lavis.INSTRUCTBLIP),
    vocabulary=blip2_lavis.WORDS,
    presets={
        "tiny": lambda: tiny(decoders.tiny(256), TINY),
        "tiny-static": lambda: static(tiny(decoders.tiny(256), TINY)),
        "tiny-t5": lambda: tiny(encdec.tiny(256), replace(TINY, start=None, close=3)),
        "vicuna-7b": lambda: published(replace(decoders.vicuna_7b(), vocab=32_001), VICUNA),
        "vicuna-13b": lambda: published(replace(decoders.vicuna_13b(), vocab=32_001), VICUNA),
        "flan-t5-xl": lambda: published(encdec.flan_t5_xl(), INSTRUCTED_T5),
        "flan-t5-xxl": lambda: published(encdec.flan_t5_xxl(), INSTRUCTED_T5),
    },
    stages=(
        Stage(name="untold", preset="tiny-static", train={BRIDGE: 1.0}, losses={"language": 1.0}, inherit={"": ""}),
        Stage(
            name="instruct", preset="tiny", train={BRIDGE: 1.0}, losses={"language": 1.0}, inherit=of_untold(PICTURES)
        ),
    ),
)
