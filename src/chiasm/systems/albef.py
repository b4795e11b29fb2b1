"""ALBEF: align before fuse, with momentum distillation (arXiv:2107.07651).

    pretrain   picture ─ ViT ─┬─ contrast ─ lower half of BERT ─ text                noisy pairs
                              └─ upper half of BERT ─ match + masked words
    retrieve   the same without masked words                                         clean pairs
    vqa        picture ─ ViT ─ both halves: a question ─ a decoder like the upper half: its answer
    assign     two pictures ─ ViT ─ both halves, the upper one twice: which does the text belong to?
    nlvr2      the same, after assign: is the text true of them?
    ve         picture ─ ViT ─ both halves ─ contradiction, neutral or entailment

The twin's advice softens the targets of contrast and of masked words (section 3.3), and those of vqa,
nlvr2 and ve. A text's rows of one meaning are right for each other, in the batch and in the queue.
Numbers without a comment are from sections 3.4 and 4 of the paper.
"""

from dataclasses import replace

from chiasm.archetypes.align import Alignment
from chiasm.archetypes.answer import Answerer, DistilledAnswerer, Opening, of_halves
from chiasm.archetypes.fusion import Fusion, MaskedFusion
from chiasm.archetypes.judge import ASSIGNED, ENTAILMENT, TRUTH, DistilledJudge, Judge, of_turns
from chiasm.core.stage import Stage
from chiasm.core.system import System, Vocabulary
from chiasm.core.types import Markers
from chiasm.layouts import albef_lavis, original
from chiasm.nn.bert import Bert
from chiasm.nn.turns import Turns
from chiasm.nn.vit import PATCHES, PatchStem, Stem, ViT

VOCAB = 30_522
FILES = "https://storage.googleapis.com/sfr-pcl-data-research/ALBEF"


def base() -> MaskedFusion.Config:
    """ViT-B/16 and BERT-base at 256 pixels: 210 M parameters."""
    vision = ViT.Config(dim=768, depth=12, heads=12, image=256, stem=PatchStem(patch=16))
    text = Bert.Config(vocab=VOCAB, image_dim=768, reads=(6, 7, 8, 9, 10, 11))
    learns = Alignment.Config(queue=65_536, ramp=7_800)  # one epoch of 4 M pictures in batches of 512
    return MaskedFusion.Config(
        fusion=Fusion.Config(vision=vision, text=text, markers=albef_lavis.MARKERS, alignment=learns)
    )


def tiny(stem: Stem = PATCHES) -> MaskedFusion.Config:
    """Small pictures, short words, minutes on a CPU: the size of `blip.tiny`."""
    std = 0.18  # see nn/init.py
    vision = ViT.Config(dim=64, depth=2, heads=2, image=32, stem=stem, std=std)
    text = Bert.Config(vocab=256, image_dim=64, dim=64, depth=2, heads=2, reads=(1,), max_len=64, dropout=0.0, std=std)
    markers = Markers(pad=0, cls=2, sep=3, mask=4, dec=5, enc=6)
    # a twin and a queue that keep up with a run of hundreds of steps
    learns = Alignment.Config(queue=256, momentum=0.9, ramp=250)
    fusion = Fusion.Config(vision=vision, text=text, markers=markers, embed=64, alignment=learns)
    return MaskedFusion.Config(fusion=fusion)


def retriever(cfg: MaskedFusion.Config, *, image: int | None = None) -> Fusion.Config:
    """What search and matching need of a pre-trained model, perhaps at another picture size."""
    return replace(cfg.fusion, vision=cfg.fusion.vision.sized(image))


def answerer(
    cfg: MaskedFusion.Config, *, image: int | None = None, momentum: float = 0.995, ramp: int
) -> DistilledAnswerer.Config:
    """A question is read by both halves, an answer written by a decoder that starts as a copy of the upper one."""
    towers, above = cfg.fusion, len(cfg.fusion.text.reads)
    answer = replace(towers.text, image_dim=towers.text.dim, depth=above, reads=tuple(range(above)))
    whole = Answerer.Config(
        vision=towers.vision.sized(image), question=towers.text, answer=answer, markers=towers.markers,
        opening=Opening.CLS, smoothing=0.0, first=2,  # the first token of a candidate counts twice, as released
    )  # fmt: skip
    return DistilledAnswerer.Config(answerer=whole, momentum=momentum, ramp=ramp)


def judge(cfg: MaskedFusion.Config, *, image: int | None = None) -> Judge.Config:
    """Visual entailment, by what both halves make of the first word."""
    text, markers, vision = cfg.fusion.text, cfg.fusion.markers, cfg.fusion.vision.sized(image)
    return Judge.Config(vision=vision, text=text, markers=markers, labels=ENTAILMENT, opening=Opening.CLS)


def of_two(cfg: MaskedFusion.Config, labels: tuple[str, ...], *, image: int | None = None) -> Judge.Config:
    """Text assignment and NLVR2: two pictures, read in turns."""
    return replace(judge(cfg, image=image), text=Turns.Config(bert=cfg.fusion.text), labels=labels)


SYSTEM = System(
    paper="arXiv:2107.07651",
    weights=tuple(f"{FILES}/{name}.pth" for name in ("ALBEF_4M", "ALBEF", "mscoco", "flickr30k", "vqa")),
    layouts=albef_lavis.LAYOUTS,
    vocabulary=Vocabulary(name=original.BERT, revision=original.COMMIT, words=VOCAB),
    presets={
        "tiny": tiny,
        "tiny-retrieve": lambda: retriever(tiny()),
        "tiny-vqa": lambda: answerer(tiny(), momentum=0.9, ramp=250),
        "tiny-assign": lambda: of_two(tiny(), ASSIGNED),
        "tiny-nlvr2": lambda: DistilledJudge.Config(student=of_two(tiny(), TRUTH), momentum=0.9, ramp=250),
        "tiny-ve": lambda: DistilledJudge.Config(student=judge(tiny()), momentum=0.9, ramp=250),
        "base": base,
        "base-retrieve": lambda: retriever(base(), image=384),
        # ramps of an epoch: VQA 2.0 and Visual Genome in batches of 256, NLVR2 of 128, SNLI-VE of 256
        "base-vqa": lambda: answerer(base(), image=384, ramp=5_000),
        "base-assign": lambda: of_two(base(), ASSIGNED),
        "base-nlvr2": lambda: DistilledJudge.Config(student=of_two(base(), TRUTH, image=384), ramp=675),
        "base-ve": lambda: DistilledJudge.Config(student=judge(base(), image=384), ramp=2_070),
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
            train={"towers": 1.0, "temperature": 1.0, "match_head": 1.0},
            losses={"contrast": 1.0, "match": 1.0},
            inherit={"": "fusion"},
        ),
        Stage(
            name="vqa",
            preset="tiny-vqa",
            train={"answerer": 1.0},
            losses={"answer": 1.0},
            inherit=of_halves(towers="fusion.towers", head="word_head"),
        ),
        Stage(
            name="assign",
            preset="tiny-assign",
            train={"vision": 1.0, "encoder": 1.0, "head": 1.0},
            losses={"label": 1.0},
            inherit=of_turns(towers="fusion.towers"),
        ),
        Stage(
            name="nlvr2",
            preset="tiny-nlvr2",
            train={"student": 1.0},
            losses={"label": 1.0},
            inherit={"student.vision": "vision", "student.encoder": "encoder"},
        ),
        Stage(
            name="ve",
            preset="tiny-ve",
            train={"student": 1.0},
            losses={"label": 1.0},
            inherit={"student.vision": "fusion.towers.vision", "student.encoder": "fusion.towers.encoder"},
        ),
    ),
)
