"""BLIP's original files, and LAVIS's; label smoothing is 0.1."""

from collections.abc import Callable
from dataclasses import replace

from chiasm.archetypes.answer import Answerer
from chiasm.archetypes.judge import TRUTH, Judge
from chiasm.archetypes.med import MED, Captioner, Retriever
from chiasm.core.dialect import Found, Rename, mount
from chiasm.core.types import Markers
from chiasm.layouts.original import aligns, layout, sees, text, vision
from chiasm.nn.reading import TwoPictures
from chiasm.weights.dialects import bert

# bert-base-uncased and two tokens more
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=30_522, enc=30_523)
EYES = "visual_encoder.cls_token"
READER, WRITER = "text_encoder.encoder.layer.0.crossattention.self.key.weight", "text_decoder.cls.predictions.bias"
PAIR, MATCHES = "text_encoder.encoder.layer.0.crossattention.self0.key.weight", "itm_head.weight"


def _has(*present: str) -> Callable[[Found], bool]:
    """Whether a BLIP has these heads, of all that there are."""
    absent = {READER, WRITER, PAIR, MATCHES} - {*present}
    return lambda found: {EYES, *present} <= found.shapes.keys() and not absent & found.shapes.keys()


def _captioner(found: Found) -> Captioner.Config:
    return Captioner.Config(vision=vision(found), text=text(found, "text_decoder.bert."), markers=MARKERS)


def _retriever(found: Found) -> Retriever.Config:
    embed, _ = found.shape("vision_proj.weight")
    words = text(found, "text_encoder.")
    return Retriever.Config(vision=vision(found), text=words, markers=MARKERS, embed=embed, alignment=None)


def _med(found: Found) -> MED.Config:
    return MED.Config(retriever=_retriever(found))


def _answerer(found: Found) -> Answerer.Config:
    question, answer = text(found, "text_encoder."), text(found, "text_decoder.bert.")
    return Answerer.Config(vision=vision(found), question=question, answer=answer, markers=MARKERS)


def _judge(found: Found) -> Judge.Config:
    words = text(found, "text_encoder.", keys="self0")
    merged = [f"text_encoder.encoder.layer.{i}.crossattention.output.merge_layer.weight" for i in words.reads]
    reading = TwoPictures(merges=sum(name not in found.shapes for name in merged))
    return Judge.Config(vision=vision(found), text=replace(words, reading=reading), markers=MARKERS, labels=TRUTH)


READS = mount(bert.BERT, theirs="text_encoder.")
READS_TWO = mount(bert.BERT_OF_TWO_PICTURES, theirs="text_encoder.")
LAYOUTS = (
    layout(Captioner.Config, _has(WRITER), _captioner, sees("vision."), bert.writer("decoder.", "word_head.")),
    layout(Retriever.Config, _has(READER, MATCHES), _retriever, aligns(""), mount(READS, ours="towers.encoder.")),
    layout(
        MED.Config,
        _has(READER, MATCHES, WRITER),
        _med,
        aligns("retriever."),
        mount(READS, ours="retriever.towers.encoder."),
        bert.sharing_writer("captioner.decoder.", "captioner.word_head."),
    ),
    layout(
        Answerer.Config,
        _has(READER, WRITER),
        _answerer,
        sees("chain.vision."),
        mount(READS, ours="chain.question."),
        bert.writer("chain.decoder.", "chain.word_head."),
    ),
    layout(
        Judge.Config,
        _has(PAIR),
        _judge,
        sees("vision."),
        mount(READS_TWO, ours="encoder."),
        (Rename("cls_head", "head"),),
    ),
)
