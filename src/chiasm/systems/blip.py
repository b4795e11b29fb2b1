"""BLIP: bootstrap vision and language from noisy web texts (arXiv:2201.12086).

    pretrain   picture ─ ViT ─ MED ─ contrast + match + language     noisy pairs
    caption    picture ─ ViT ─ decoder ─ language                    clean pairs: the captioner of CapFilt
    retrieve   picture ─ ViT ─ encoder ─ contrast + match            clean pairs: the filter of CapFilt
    vqa        picture ─ ViT ─ encoder of questions ─ decoder of answers
    nlvr2      two pictures ─ ViT ─ encoder that reads both ─ true or false

All fine-tunings start from the same pre-trained weights and share nothing afterwards (section 3.3).
Numbers without a comment are from section 4.1 of the paper.
"""

from dataclasses import replace

from chiasm.archetypes.align import Alignment
from chiasm.archetypes.answer import Answerer, of_question_and_answer
from chiasm.archetypes.judge import TRUTH, Judge, of_two_pictures
from chiasm.archetypes.med import MED, Captioner, Retriever
from chiasm.core.stage import Stage
from chiasm.core.system import System, Vocabulary
from chiasm.core.types import Markers
from chiasm.layouts import blip_hf, blip_lavis, original
from chiasm.nn.bert import Bert
from chiasm.nn.reading import TwoPictures
from chiasm.nn.vit import PATCHES, PatchStem, Stem, ViT

VOCAB = 30_524


def base() -> MED.Config:
    """ViT-B/16 and BERT-base at 224 pixels: 252 M parameters."""
    return _pretraining(ViT.Config(dim=768, depth=12, heads=12, image=224, stem=PatchStem(patch=16)))


def large() -> MED.Config:
    """ViT-L/16 with stochastic depth 0.1 and BERT-base."""
    return _pretraining(ViT.Config(dim=1024, depth=24, heads=16, image=224, stem=PatchStem(patch=16), drop_path=0.1))


def tiny(stem: Stem = PATCHES) -> MED.Config:
    """Small pictures, short words, minutes on a CPU; the demo's has a stem that learns sooner."""
    std = 0.18  # see nn/init.py
    vision = ViT.Config(dim=64, depth=2, heads=2, image=32, stem=stem, std=std)
    text = Bert.Config(
        vocab=256, image_dim=64, dim=64, depth=2, heads=2, reads=(0, 1), max_len=64, dropout=0.0, std=std
    )
    markers = Markers(pad=0, cls=2, sep=3, mask=4, dec=5, enc=6)
    # a twin and a queue that keep up with a run of hundreds of steps
    learns = Alignment.Config(queue=256, momentum=0.9, ramp=250)
    return MED.Config(retriever=Retriever.Config(vision=vision, text=text, markers=markers, embed=64, alignment=learns))


def captioner(cfg: MED.Config, *, image: int | None = None, prompt: int = 0) -> Captioner.Config:
    """What a caption needs of a pre-trained model, perhaps at another picture size."""
    towers = cfg.retriever
    return Captioner.Config(vision=towers.vision.sized(image), text=towers.text, markers=towers.markers, prompt=prompt)


def retriever(cfg: MED.Config, *, image: int | None = None) -> Retriever.Config:
    """What search and matching need of a pre-trained model, perhaps at another picture size."""
    return replace(cfg.retriever, vision=cfg.retriever.vision.sized(image))


def answerer(cfg: MED.Config, *, image: int | None = None, drop_path: float = 0.0) -> Answerer.Config:
    """A question is read by the pre-trained encoder, an answer written by the pre-trained decoder."""
    towers = cfg.retriever
    vision = replace(towers.vision.sized(image), drop_path=drop_path)
    answer = replace(towers.text, image_dim=towers.text.dim)  # it reads the question's states
    return Answerer.Config(vision=vision, question=towers.text, answer=answer, markers=towers.markers)


def judge(cfg: MED.Config, *, merges: int, image: int | None = None) -> Judge.Config:
    """Two pictures are read by twins of the pre-trained cross-attention; from layer `merges` on they are merged."""
    towers = cfg.retriever
    text = replace(towers.text, reading=TwoPictures(merges=merges))
    return Judge.Config(vision=towers.vision.sized(image), text=text, markers=towers.markers, labels=TRUTH)


def _pretraining(vision: ViT.Config) -> MED.Config:
    text = Bert.Config(vocab=VOCAB, image_dim=vision.dim)
    learns = Alignment.Config(queue=57_600, ramp=9_700)  # two epochs of 14 M pictures in batches of 2880
    return MED.Config(
        retriever=Retriever.Config(vision=vision, text=text, markers=blip_lavis.MARKERS, alignment=learns)
    )


SYSTEM = System(
    paper="arXiv:2201.12086",
    weights=(
        *(f"Salesforce/blip-image-captioning-{size}" for size in ("base", "large")),
        *(f"Salesforce/blip-itm-{size}-{of}" for of in ("coco", "flickr") for size in ("base", "large")),
        *("Salesforce/blip-vqa-base", "Salesforce/blip-vqa-capfilt-large"),
    ),
    layouts=(*blip_hf.LAYOUTS, *blip_lavis.LAYOUTS),
    vocabulary=Vocabulary(name=original.BERT, revision=original.COMMIT, words=VOCAB),
    presets={
        "tiny": tiny,
        "tiny-caption": lambda: captioner(tiny()),
        "tiny-retrieve": lambda: retriever(tiny()),
        "tiny-vqa": lambda: answerer(tiny()),
        "tiny-nlvr2": lambda: judge(tiny(), merges=1),
        "base": base,
        "base-caption": lambda: captioner(base(), image=384, prompt=4),  # [DEC] a picture of
        "base-retrieve": lambda: retriever(base(), image=384),
        "base-vqa": lambda: answerer(base(), image=480, drop_path=0.1),
        "base-nlvr2": lambda: judge(base(), image=384, merges=6),
        "large": large,
        "large-caption": lambda: captioner(large(), image=384, prompt=4),
        "large-retrieve": lambda: retriever(large(), image=384),
    },
    stages=(
        Stage(
            name="pretrain",
            preset="tiny",
            train={"retriever": 1.0, "captioner": 1.0},
            losses={"contrast": 1.0, "match": 1.0, "language": 1.0},
        ),
        Stage(
            name="caption",
            preset="tiny-caption",
            train={"vision": 1.0, "decoder": 1.0, "word_head": 1.0},
            losses={"language": 1.0},
            inherit={"": "captioner"},
        ),
        Stage(
            name="retrieve",
            preset="tiny-retrieve",
            train={"towers": 1.0, "match_head": 1.0, "temperature": 1.0},
            losses={"contrast": 1.0, "match": 1.0},
            inherit={"": "retriever"},
        ),
        Stage(
            name="vqa",
            preset="tiny-vqa",
            train={"chain": 1.0},
            losses={"answer": 1.0},
            inherit=of_question_and_answer(towers="retriever.towers", writer="captioner"),
        ),
        Stage(
            name="nlvr2",
            preset="tiny-nlvr2",
            train={"vision": 1.0, "encoder": 1.0, "head": 1.0},
            losses={"label": 1.0},
            inherit=of_two_pictures(towers="retriever.towers"),
        ),
    ),
)
