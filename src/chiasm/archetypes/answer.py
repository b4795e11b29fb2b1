"""Answers to questions about pictures: read the question beside the picture, then write what is asked for.

    picture ─ ViT ─ all tokens ─┐
    question ───────────────────┴ encoder ─ states of its words ─┐
    answer ──────────────────────────────────────────────────────┴ decoder ─ next token

BLIP (arXiv:2201.12086, figure 5) opens questions by [ENC] and answers by [DEC]; ALBEF
(arXiv:2107.07651, section 5) opens both by [CLS], reads no [SEP], and also learns from what a slow twin would answer.
Their answers end in [SEP], and are often ranked rather than written (`decoding/ranking.py`).
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.core.types import Asked, Losses, Markers, Text
from chiasm.nn.bert import Bert, WordHead, rows_of
from chiasm.nn.cache import Cache
from chiasm.nn.momentum import Twin, believed
from chiasm.nn.vit import ViT
from chiasm.objectives.language import labelled, weighed


class Opening(Enum):
    """What stands around a text that is read beside a picture, and before one that is written."""

    OWN = auto()  # [ENC] words [SEP], and [DEC]
    CLS = auto()  # [CLS] words, and [CLS]

    def read(self, text: Text, markers: Markers) -> Text:
        return text.opened_by(markers.enc) if self is Opening.OWN else text.opened_by(markers.cls).unclosed()

    def written(self, markers: Markers) -> int:
        return markers.dec if self is Opening.OWN else markers.cls


@dataclass(frozen=True)
class Writer:
    """The decoder as decoding asks for it, about questions of which `present` are words."""

    decoder: Bert
    word_head: WordHead
    present: Bool[Tensor, "b t"]
    start: int
    end: int

    def recall(self, seen: Float[Tensor, "b t d"]) -> Cache:
        return self.decoder.blank(self.decoder.recall(seen, self.present))

    def speak(
        self, ids: Int[Tensor, "n t"], state: Cache, present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n v"], Cache]:
        states, state = self.decoder.decode(ids, state, present)
        return self.word_head(states[:, -1]), state


class Chain(nn.Module):
    """Picture, question, answer: each reads the one before it."""

    def __init__(self, cfg: "Answerer.Config") -> None:
        super().__init__()
        self.vision = cfg.vision.build()
        self.question = cfg.question.build()
        self.decoder = cfg.answer.build()
        self.word_head = WordHead(cfg.answer, self.decoder.embed.word)
        self.opening, self.markers = cfg.opening, cfg.markers

    def forward(self, batch: Asked) -> tuple[Float[Tensor, "n v"], Int[Tensor, " n"]]:
        """Logits where an answer goes on, and the token with which it does."""
        question = self.opening.read(batch.question, self.markers)
        states = self.question.encode(question, self.question.recall(self.vision(batch.images)))
        memory = rows_of(self.decoder.recall(states, question.mask), batch.rows)
        text = batch.answers.opened_by(self.opening.written(self.markers))
        written, _ = self.decoder.decode(text.ids, self.decoder.blank(memory))
        learned, target = labelled(written, text.ids, text.mask)
        return self.word_head(learned), target

    def ask(
        self, seen: Float[Tensor, "b p c"], question: Text, rows: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n t d"], Writer]:
        memory, text = self.question.recall(seen), self.opening.read(question, self.markers)
        states = self.question.encode(text, memory if len(seen) == 1 else rows_of(memory, rows))
        start = self.opening.written(self.markers)
        return states, Writer(self.decoder, self.word_head, text.mask, start, self.markers.sep)


class Answerer(nn.Module):
    """Learns from people's answers, each by its weight (BLIP)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        question: Bert.Config
        answer: Bert.Config  # what it calls a picture is the question
        markers: Markers
        opening: Opening = Opening.OWN
        smoothing: float = 0.1  # of the answer's labels; BLIP's
        first: int = 1

        def build(self) -> "Answerer":
            return Answerer(self)

        def fitted(self, vocab: int, markers: Markers) -> "Answerer.Config":
            """The same for another vocabulary."""
            question, answer = replace(self.question, vocab=vocab), replace(self.answer, vocab=vocab)
            return replace(self, question=question, answer=answer, markers=markers)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.chain = Chain(cfg)
        self.smoothing, self.first = cfg.smoothing, cfg.first

    def forward(self, batch: Asked) -> Losses:
        logits, target = self.chain(batch)
        return {"answer": weighed(logits, target, shared_out(batch), smoothing=self.smoothing)}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.chain.vision(images)

    def ask(
        self, seen: Float[Tensor, "b p c"], question: Text, rows: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n t d"], Writer]:
        return self.chain.ask(seen, question, rows)


class DistilledAnswerer(nn.Module):
    """Learns from people's answers and from a slow twin's, which is trusted more and more (ALBEF)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        answerer: Answerer.Config
        momentum: float = 0.995
        trust: float = 0.4
        ramp: int

        def build(self) -> "DistilledAnswerer":
            return DistilledAnswerer(self)

        def fitted(self, vocab: int, markers: Markers) -> "DistilledAnswerer.Config":
            """The same for another vocabulary."""
            return replace(self, answerer=self.answerer.fitted(vocab, markers))

    forwards: Int[Tensor, ""]  # how often the twin has moved

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.answerer = cfg.answerer.build()
        self.twin = Twin(self.answerer.chain, momentum=cfg.momentum)
        self.register_buffer("forwards", torch.zeros((), dtype=torch.long))
        self.first, self.smoothing = cfg.answerer.first, cfg.answerer.smoothing
        self.trust, self.ramp = cfg.trust, cfg.ramp

    def forward(self, batch: Asked) -> Losses:
        self.twin.follow()
        trust = believed(self.trust, self.forwards, ramp=self.ramp)
        (logits, target), (slow, _) = self.answerer.chain(batch), self.twin(batch)
        weights = shared_out(batch)
        told = weighed(logits, target, weights, smoothing=self.smoothing)
        taught = weighed(logits, slow.softmax(dim=1), weights)
        self.forwards.add_(1)
        return {"answer": (1 - trust) * told + trust * taught}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.answerer.see(images)

    def ask(
        self, seen: Float[Tensor, "b p c"], question: Text, rows: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n t d"], Writer]:
        return self.answerer.ask(seen, question, rows)


def shared_out(batch: Asked) -> Float[Tensor, " n"]:
    """For every token that is learned, the weight of its answer among the questions of the batch."""
    learns = batch.answers.mask[:, 1:]
    return (batch.weights / len(batch.images))[:, None].expand(learns.shape)[learns]


def of_question_and_answer(*, towers: str, writer: str) -> dict[str, str]:
    """What an `Answerer` inherits where `towers` align and `writer` captions."""
    return {
        "chain.vision": f"{towers}.vision",
        "chain.question": f"{towers}.encoder",
        "chain.decoder": f"{writer}.decoder",
        "chain.word_head": f"{writer}.word_head",
    }


def of_halves(*, towers: str, head: str) -> dict[str, str]:
    """What a `DistilledAnswerer` inherits from `towers` of two halves: its decoder starts as the upper one."""
    chain, encoder = "answerer.chain", f"{towers}.encoder"
    return {
        f"{chain}.vision": f"{towers}.vision",
        f"{chain}.question": encoder,
        f"{chain}.decoder.embed": f"{encoder}.embed",
        f"{chain}.decoder.layers.*": f"{encoder}.layers.-*",
        f"{chain}.word_head": head,
    }
