"""BLIP's original files, and LAVIS's: a pickle of tensors and no config, so that shapes say what it is.

What shapes cannot say is what was published: heads of 64, eps 1e-6 in the vision tower and 1e-12 in
the text, label smoothing 0.1. The momentum twin and its queues stay behind: training begins new ones.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chiasm.archetypes.answer import Answerer
from chiasm.archetypes.judge import TRUTH, Judge
from chiasm.archetypes.med import MED, Captioner, Retriever
from chiasm.core.dialect import Dialect, Drop, Found, Layout, Own, Rename, mount
from chiasm.core.types import Markers
from chiasm.nn.bert import Bert
from chiasm.nn.reading import TwoPictures
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.dialects import bert, vit

HEAD = 64  # the width of a head in every published BLIP
# bert-base-uncased and two tokens more, as in the released files
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=30_522, enc=30_523)
EYES = "visual_encoder.cls_token"
READER, WRITER = "text_encoder.encoder.layer.0.crossattention.self.key.weight", "text_decoder.cls.predictions.bias"
PAIR, MATCHES = "text_encoder.encoder.layer.0.crossattention.self0.key.weight", "itm_head.weight"


def _has(*present: str) -> Callable[[Found], bool]:
    """Whether a BLIP has these heads, of all that there are."""
    absent = {READER, WRITER, PAIR, MATCHES} - {*present}
    return lambda found: {EYES, *present} <= found.shapes.keys() and not absent & found.shapes.keys()


def _vision(found: Found) -> ViT.Config:
    dim, _, patch, _ = found.shape("visual_encoder.patch_embed.proj.weight")
    places = found.shape("visual_encoder.pos_embed")[1] - 1
    return ViT.Config(
        dim=dim,
        depth=found.count("visual_encoder.blocks."),
        heads=dim // HEAD,
        image=patch * math.isqrt(places),
        stem=PatchStem(patch=patch),
    )


def _text(found: Found, below: str, keys: str = "self") -> Bert.Config:
    vocab, dim = found.shape(f"{below}embeddings.word_embeddings.weight")
    depth = found.count(f"{below}encoder.layer.")
    return Bert.Config(
        vocab=vocab,
        image_dim=found.shape(f"{below}encoder.layer.0.crossattention.{keys}.key.weight")[1],
        dim=dim,
        depth=depth,
        heads=dim // HEAD,
        reads=tuple(range(depth)),
        max_len=found.shape(f"{below}embeddings.position_embeddings.weight")[0],
    )


def _read_captioner(found: Found) -> Captioner.Config:
    return Captioner.Config(vision=_vision(found), text=_text(found, "text_decoder.bert."), markers=MARKERS)


def _read_retriever(found: Found) -> Retriever.Config:
    embed, _ = found.shape("vision_proj.weight")
    text = _text(found, "text_encoder.")
    return Retriever.Config(vision=_vision(found), text=text, markers=MARKERS, embed=embed, alignment=None)


def _read_med(found: Found) -> MED.Config:
    return MED.Config(retriever=_read_retriever(found))


def _read_answerer(found: Found) -> Answerer.Config:
    return Answerer.Config(
        vision=_vision(found),
        question=_text(found, "text_encoder."),
        answer=_text(found, "text_decoder.bert."),
        markers=MARKERS,
    )


def _read_judge(found: Found) -> Judge.Config:
    text = _text(found, "text_encoder.", keys="self0")
    merged = [f"text_encoder.encoder.layer.{i}.crossattention.output.merge_layer.weight" for i in range(text.depth)]
    reading = TwoPictures(merges=sum(name not in found.shapes for name in merged))
    return Judge.Config(vision=_vision(found), text=replace(text, reading=reading), markers=MARKERS, labels=TRUTH)


def _sees(ours: str) -> Dialect:
    return mount(vit.TIMM, theirs="visual_encoder.", ours=ours)


def _matches(ours: str) -> Dialect:
    """What aligns and matches, but for the text encoder."""
    towers = f"{ours}towers."
    return (
        *_sees(f"{towers}vision."),
        *bert.two_heads(towers),
        Rename("itm_head", f"{ours}match_head"),
        Rename("temp", f"{ours}temperature"),
        Own(f"{ours}alignment"),
    )


READS = mount(bert.BERT, theirs="text_encoder.")
GONE = (
    "visual_encoder_m", "text_encoder_m", "vision_proj_m", "text_proj_m",
    "image_queue", "text_queue", "idx_queue", "queue_ptr", "ptr_queue",
)  # fmt: skip
TWIN = tuple(Drop(name, "of a training that is over") for name in GONE)


def _layout(graph: type, fits: Callable[[Found], bool], read: Callable[[Found], Any], *rules: Dialect) -> Layout:
    """Nothing is written beside the tensors."""
    return Layout(format="lavis", graph=graph, fits=fits, read=read, write=lambda _: {}, rules=sum(rules, ()))


LAYOUTS = (
    _layout(
        Captioner.Config,
        _has(WRITER),
        _read_captioner,
        _sees("vision."),
        bert.writer("decoder.", "word_head."),
    ),
    _layout(
        Retriever.Config,
        _has(READER, MATCHES),
        _read_retriever,
        _matches(""),
        mount(READS, ours="towers.encoder."),
        TWIN,
    ),
    _layout(
        MED.Config,
        _has(READER, MATCHES, WRITER),
        _read_med,
        _matches("retriever."),
        mount(READS, ours="retriever.towers.encoder."),
        bert.sharing_writer("captioner.decoder.", "captioner.word_head."),
        TWIN,
    ),
    _layout(
        Answerer.Config,
        _has(READER, WRITER),
        _read_answerer,
        _sees("chain.vision."),
        mount(READS, ours="chain.question."),
        bert.writer("chain.decoder.", "chain.word_head."),
    ),
    _layout(
        Judge.Config,
        _has(PAIR),
        _read_judge,
        _sees("vision."),
        mount(bert.BERT_OF_TWO_PICTURES, theirs="text_encoder.", ours="encoder."),
        (Rename("cls_head", "head"),),
    ),
)
