"""ALBEF's original files, and LAVIS's: BERT's upper half reads the picture.

Pre-training names its text network `text_encoder.bert`, the fine-tuned files `text_encoder`. NLVR2's has
eighteen layers: of two pictures in turn (`nn/turns.py`), whose keys and values are stored twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from chiasm.archetypes.answer import Answerer, DistilledAnswerer, Opening
from chiasm.archetypes.fusion import Fusion, MaskedFusion
from chiasm.archetypes.judge import ENTAILMENT, TRUTH, DistilledJudge, Judge
from chiasm.core.dialect import Dialect, Found, Layout, Own, Rename, Tied, mount
from chiasm.core.types import Markers
from chiasm.layouts.original import aligns, layout, sees, text, vision
from chiasm.nn.turns import Turns
from chiasm.weights.dialects import bert

# bert-base-uncased; it has no tokens for BLIP's two, which no graph here asks for
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=102, enc=101)
BELOW, LAYERS = 6, 12  # of the text network, in every published file
FIRST, SIXTH = (f"encoder.layer.{i}.crossattention.self.key.weight" for i in (0, BELOW))
WRITER, MATCHES, JUDGES = "text_decoder.cls.predictions.bias", "itm_head.weight", "cls_head.2.weight"


def _has(reader: str, *present: str) -> Callable[[Found], bool]:
    """Whether an ALBEF has these heads, of all that there are."""
    must = {"visual_encoder.cls_token", reader + SIXTH, *present}
    never = {reader + FIRST, WRITER, MATCHES, JUDGES} - must
    return lambda found: must <= found.shapes.keys() and not never & found.shapes.keys()


def _labels(count: int) -> Callable[[Found], bool]:
    """Whether it judges by so many labels."""
    judges = _has("text_encoder.", JUDGES)
    return lambda found: judges(found) and found.shape(JUDGES)[0] == count


def _fusion(found: Found, below: str = "text_encoder.") -> Fusion.Config:
    embed, _ = found.shape("vision_proj.weight")
    words = text(found, below)
    return Fusion.Config(vision=vision(found), text=words, markers=MARKERS, embed=embed, alignment=None)


def _masked_fusion(found: Found) -> MaskedFusion.Config:
    return MaskedFusion.Config(fusion=_fusion(found, "text_encoder.bert."))


def _answerer(found: Found) -> Answerer.Config:
    question, answer = text(found, "text_encoder."), text(found, "text_decoder.bert.")
    return Answerer.Config(
        vision=vision(found), question=question, answer=answer, markers=MARKERS, opening=Opening.CLS, smoothing=0.0,
        first=2,
    )  # fmt: skip


def _judge(found: Found) -> Judge.Config:
    words = text(found, "text_encoder.")
    return Judge.Config(vision=vision(found), text=words, markers=MARKERS, labels=ENTAILMENT, opening=Opening.CLS)


def _judge_of_two(found: Found) -> Judge.Config:
    every = text(found, "text_encoder.")
    if every.depth != 2 * LAYERS - BELOW or every.reads != tuple(range(BELOW, every.depth)):
        raise ValueError(f"NLVR2 in ALBEF's form has {2 * LAYERS - BELOW} layers, but the file {every.depth}")
    once = replace(every, depth=LAYERS, reads=tuple(range(BELOW, LAYERS)))
    return Judge.Config(
        vision=vision(found), text=Turns.Config(bert=once), markers=MARKERS, labels=TRUTH, opening=Opening.CLS
    )


def _judges(labels: tuple[str, ...], read: Callable[[Found], Judge.Config], rules: Dialect) -> tuple[Layout, Layout]:
    """A judge by these labels, and one that learns with a twin, which stays behind."""
    fits = _labels(len(labels))

    def holds(cfg: Judge.Config) -> bool:
        return cfg.labels == labels

    def teaches(cfg: DistilledJudge.Config) -> bool:
        return holds(cfg.student)

    def begun(found: Found) -> DistilledJudge.Config:
        return DistilledJudge.Config(student=read(found), ramp=1)

    taught = layout(DistilledJudge.Config, fits, begun, mount(rules, ours="student."), TAUGHT)
    return replace(layout(Judge.Config, fits, read, rules), holds=holds), replace(taught, holds=teaches)


def _turns() -> Iterator[Dialect]:
    """Layers of the text network, each by its number."""
    for i in range(BELOW):
        yield mount(bert.LAYER, theirs=f"encoder.layer.{i}.", ours=f"bert.layers.{i}.")
    for i in range(LAYERS - BELOW):
        first, second = (f"encoder.layer.{BELOW + 2 * i + more}." for more in (0, 1))
        yield mount(bert.LAYER, theirs=first, ours=f"bert.layers.{BELOW + i}.")
        shared = [f"crossattention.self.{part}" for part in ("key", "value")]
        own = [rule for rule in bert.LAYER if rule.theirs not in shared]
        yield mount(own, theirs=second, ours=f"again.{i}.")
        yield tuple(Tied(second + part, first + part) for part in shared)


READS = mount(bert.BERT, theirs="text_encoder.")
EMBED = mount((*bert.EMBED, bert.NUMBERS), ours="bert.")
TURNS = mount((*EMBED, *(rule for part in _turns() for rule in part)), theirs="text_encoder.")
ANSWERS = (
    *sees("chain.vision."),
    *mount(READS, ours="chain.question."),
    *bert.writer("chain.decoder.", "chain.word_head."),
)
HEAD = Rename("cls_head", "head")
ENTAILS = (*sees("vision."), *mount(READS, ours="encoder."), HEAD)
COMPARES = (*sees("vision."), *mount(TURNS, ours="encoder."), HEAD)
TAUGHT = (Own("twin"), Own("forwards"))
LAYOUTS = (
    layout(
        MaskedFusion.Config,
        _has("text_encoder.bert.", MATCHES),
        _masked_fusion,
        aligns("fusion."),
        mount(bert.BERT, theirs="text_encoder.bert.", ours="fusion.towers.encoder."),
        mount(bert.WORD_HEAD, theirs="text_encoder.", ours="word_head."),
        (Own("slow_head"),),
    ),
    layout(
        Fusion.Config,
        _has("text_encoder.", MATCHES),
        _fusion,
        aligns(""),
        mount(READS, ours="towers.encoder."),
    ),
    layout(Answerer.Config, _has("text_encoder.", WRITER), _answerer, ANSWERS),
    layout(
        DistilledAnswerer.Config,
        _has("text_encoder.", WRITER),
        lambda found: DistilledAnswerer.Config(answerer=_answerer(found), ramp=1),
        mount(ANSWERS, ours="answerer."),
        TAUGHT,
    ),
    *_judges(ENTAILMENT, _judge, ENTAILS),
    *_judges(TRUTH, _judge_of_two, COMPARES),
)
