"""Mixture of encoder and decoder: one text network aligns, matches and writes (BLIP, arXiv:2201.12086, section 3.1).

    picture ─ ViT ─┬─ first token ───────────────── contrast ── text, read alone      [CLS] a red ball [SEP]
                   ├─ all tokens ─ cross-attention ─ match ──── text, both ways       [ENC] a red ball [SEP]
                   └─ all tokens ─ cross-attention ─ language ─ text, left to right   [DEC] a red ball [SEP]

Three graphs: `Retriever` has the first two heads, `Captioner` the third, `MED` all of them over
shared weights. Each stands alone, so a fine-tuned file holds what its task needs and nothing else.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.archetypes.align import Alignment, Features, asked, beside, learned, widened
from chiasm.archetypes.aligner import HasAligner
from chiasm.core import ranks
from chiasm.core.ability import Pairing
from chiasm.core.types import ImageText, Losses, Markers, Text
from chiasm.nn.bert import Bert, Memory, WordHead, rows_of
from chiasm.nn.cache import Cache
from chiasm.nn.vit import ViT
from chiasm.objectives.language import labelled, next_token
from chiasm.objectives.matching import match


class Sharing(Enum):
    """What text encoder and decoder have in common (table 3 of the paper; it chose the second)."""

    ALL = auto()
    ALL_BUT_SELF_ATTENTION = auto()
    ALL_BUT_CROSS_ATTENTION = auto()
    NONE = auto()


class Towers(nn.Module):
    """A picture encoder and a text encoder that meet in one space of unit vectors."""

    def __init__(self, cfg: "Retriever.Config") -> None:
        super().__init__()
        self.vision = cfg.vision.build()
        self.encoder = cfg.text.build()
        self.image_head = nn.Linear(cfg.vision.dim, cfg.embed)
        self.text_head = nn.Linear(cfg.text.dim, cfg.embed)

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.image_head(seen[:, 0]), dim=-1)

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]:
        return F.normalize(self.text_head(self.encoder.first(text)), dim=-1)

    def forward(self, images: Float[Tensor, "b 3 h w"], text: Text) -> Features:
        return Features(self.embed_seen(self.vision(images)), self.embed_text(text))


class Retriever(nn.Module):
    """Contrast with a momentum twin, queue and soft targets, and matching with hard negatives.

    Every forward in training moves the twin before it is asked, as ALBEF does.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        text: Bert.Config
        markers: Markers
        embed: int = 256
        alignment: Alignment.Config | None  # None: searches and matches, and cannot be trained

        def build(self) -> "Retriever":
            return Retriever(self)

        def fitted(self, vocab: int, markers: Markers) -> "Retriever.Config":
            """The same for another vocabulary."""
            return replace(self, text=replace(self.text, vocab=vocab), markers=markers)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.towers = Towers(cfg)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.alignment = cfg.alignment and Alignment(cfg.alignment, self.towers, embed=cfg.embed)
        self.match_head = nn.Linear(cfg.text.dim, 2)
        self.enc = cfg.markers.enc

    def forward(self, batch: ImageText) -> Losses:
        seen = self.see(batch.images)
        return self.align(batch, seen, self.towers.encoder.recall(seen))

    def align(self, batch: ImageText, seen: Float[Tensor, "b p c"], memory: Memory) -> Losses:
        """Both losses of pictures that were `seen` and that text layers hold in `memory`."""
        alignment = learned(self.alignment)
        alignment.twin.follow()
        fast = Features(self.embed_seen(seen), self.embed_text(batch.text))
        slow = alignment.twin(batch.images, batch.text)
        loss, wrong_text, wrong_image = alignment(fast, slow, batch.identity, self.temperature)
        text = widened(batch.text)
        texts = Text.cat([text, text, asked(wrong_text, text)])
        logits = self._pairs(texts, beside(self.towers.encoder, seen, memory, wrong_image))
        return {"contrast": loss, "match": match(logits, positives=len(text))}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.towers.vision(images)

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b d"]:
        return self.towers.embed_seen(seen)

    def read(self, text: Text) -> Float[Tensor, "b t d"]:
        return self.towers.encoder.encode(text)

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]:
        return self.towers.embed_text(text)

    def match(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        return self.pairing(seen)(text, rows)

    def pairing(self, seen: Float[Tensor, "b p c"]) -> Pairing:
        memory = self.towers.encoder.recall(seen)
        return lambda text, rows: self._pairs(text, memory if len(seen) == 1 else rows_of(memory, rows))

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Logits: cosines divided by the temperature."""
        return cosine / self.temperature

    def order(self, matched: Float[Tensor, " n"], cosine: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Logit plus cosine, as in the released code."""
        return matched + cosine

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b t d"]:
        """States of every word of text `i` after reading picture `i`."""
        encoder = self.towers.encoder
        return encoder.encode(text.opened_by(self.enc), encoder.recall(seen))

    def _pairs(self, text: Text, memory: Memory) -> Float[Tensor, "n 2"]:
        return self.match_head(self.towers.encoder.first(text.opened_by(self.enc), memory))


class Captioner(nn.Module):
    """A decoder that writes about what the picture encoder sees."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        text: Bert.Config
        markers: Markers
        prompt: int = 0  # tokens of a fixed prompt that opens every caption: given, not learned
        smoothing: float = 0.1  # of the labels; BLIP's

        def build(self) -> "Captioner":
            return Captioner(self, self.vision.build(), self.text.build())

        def fitted(self, vocab: int, markers: Markers) -> "Captioner.Config":
            """The same for another vocabulary."""
            return replace(self, text=replace(self.text, vocab=vocab), markers=markers)

    def __init__(self, cfg: Config, vision: ViT, decoder: Bert) -> None:
        super().__init__()
        self.vision = vision
        self.decoder = decoder
        self.word_head = WordHead(cfg.text, decoder.embed.word)
        self.start, self.end = cfg.markers.dec, cfg.markers.sep
        self.prompt, self.smoothing = cfg.prompt, cfg.smoothing

    def forward(self, batch: ImageText) -> Losses:
        return self.describe(batch, self.decoder.recall(self.see(batch.images)))

    def describe(self, batch: ImageText, memory: Memory) -> Losses:
        """The loss of pictures that text layers hold in `memory`; padding on the right needs no mask."""
        text = batch.text.opened_by(self.start)
        states, _ = self.decoder.decode(text.ids, self.decoder.blank(memory))
        states, target = labelled(states, text.ids, _after(text.mask, self.prompt))
        loss = next_token(self.word_head(states), target, smoothing=self.smoothing)
        return {"language": ranks.fair(loss, len(target))}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.vision(images)

    def recall(self, seen: Float[Tensor, "b p c"]) -> Cache:
        return self.decoder.blank(self.decoder.recall(seen))

    def speak(
        self, ids: Int[Tensor, "n t"], state: Cache, present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n v"], Cache]:
        states, state = self.decoder.decode(ids, state, present)
        return self.word_head(states[:, -1]), state


class MED(HasAligner, nn.Module):
    """BLIP's pre-training graph: contrast, match and language over one set of weights."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        retriever: Retriever.Config
        sharing: Sharing = Sharing.ALL_BUT_SELF_ATTENTION

        def build(self) -> "MED":
            return MED(self)

        def fitted(self, vocab: int, markers: Markers) -> "MED.Config":
            """The same for another vocabulary."""
            return replace(self, retriever=self.retriever.fitted(vocab, markers))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.retriever = cfg.retriever.build()
        towers = self.retriever.towers
        speaks = Captioner.Config(vision=cfg.retriever.vision, text=cfg.retriever.text, markers=cfg.retriever.markers)
        self.captioner = Captioner(speaks, towers.vision, shared(towers.encoder, cfg.retriever.text, cfg.sharing))
        self.start, self.end = self.captioner.start, self.captioner.end
        self.reads_alike = cfg.sharing in {Sharing.ALL, Sharing.ALL_BUT_SELF_ATTENTION}

    @property
    def aligner(self) -> Retriever:
        return self.retriever

    def forward(self, batch: ImageText) -> Losses:
        seen = self.see(batch.images)
        memory = self.retriever.towers.encoder.recall(seen)
        written = memory if self.reads_alike else self.captioner.decoder.recall(seen)
        return self.retriever.align(batch, seen, memory) | self.captioner.describe(batch, written)

    def recall(self, seen: Float[Tensor, "b p c"]) -> Cache:
        return self.captioner.recall(seen)

    def speak(
        self, ids: Int[Tensor, "n t"], state: Cache, present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n v"], Cache]:
        return self.captioner.speak(ids, state, present)


def shared(encoder: Bert, cfg: Bert.Config, sharing: Sharing) -> Bert:
    """A decoder that is the encoder, but for what the two do not share."""
    decoder = cfg.build()
    if sharing is Sharing.NONE:
        return decoder
    decoder.embed = encoder.embed
    for ours, theirs in zip(decoder.layers, encoder.layers, strict=True):
        ours.think = theirs.think
        if sharing is not Sharing.ALL_BUT_SELF_ATTENTION:
            ours.attend = theirs.attend
        if sharing is not Sharing.ALL_BUT_CROSS_ATTENTION:
            ours.read = theirs.read
    return decoder


def _after(mask: Bool[Tensor, "b t"], prompt: int) -> Bool[Tensor, "b t"]:
    """True on real words behind the prompt."""
    return mask & (torch.arange(mask.shape[1], device=mask.device) >= prompt)
