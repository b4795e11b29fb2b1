"""Align before fuse: a BERT whose lower half reads the text, and whose upper half the picture (arXiv:2107.07651, 3.1).

    picture ─ ViT ─┬─ first token ────────────── contrast ─── [CLS] ─┐
                   │                                                 │
                   └─ all tokens ─ cross-attention ─ upper half ─ lower half ── [CLS] a red ball
                                                       ├─ [CLS] ─ match
                                                       └─ words ─ masked ── [CLS] a [MASK] ball

`Fusion` aligns and matches, `MaskedFusion` also guesses hidden words, with the twin as a teacher.
Texts have no [SEP], as in ALBEF's released code.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.archetypes.align import Alignment, Features, asked, beside, learned, widened
from chiasm.archetypes.aligner import HasAligner
from chiasm.core import ranks
from chiasm.core.ability import Pairing
from chiasm.core.types import ImageText, Losses, Markers, Text
from chiasm.nn.bert import Bert, Memory, WordHead, rows_of
from chiasm.nn.momentum import Twin
from chiasm.nn.vit import ViT
from chiasm.objectives.distillation import agree
from chiasm.objectives.masked import masked
from chiasm.objectives.matching import match


class Halves(nn.Module):
    """A picture encoder, a text network in two halves, and the space where pictures meet the lower one."""

    def __init__(self, cfg: "Fusion.Config") -> None:
        super().__init__()
        self.vision = cfg.vision.build()
        self.encoder = cfg.text.build()
        self.image_head = nn.Linear(cfg.vision.dim, cfg.embed)
        self.text_head = nn.Linear(cfg.text.dim, cfg.embed)

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.image_head(seen[:, 0]), dim=-1)

    def embed_begun(self, begun: Float[Tensor, "b t c"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.text_head(begun[:, 0]), dim=-1)

    def forward(self, seen: Float[Tensor, "b p c"], begun: Float[Tensor, "b t e"]) -> Features:
        return Features(self.embed_seen(seen), self.embed_begun(begun))


class Fusion(nn.Module):
    """Contrast before the halves meet, and matching with hard negatives after it."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        text: Bert.Config
        markers: Markers
        embed: int = 256
        alignment: Alignment.Config | None  # None: searches and matches, and cannot be trained

        def build(self) -> "Fusion":
            return Fusion(self)

        def fitted(self, vocab: int, markers: Markers) -> "Fusion.Config":
            """The same for another vocabulary."""
            return replace(self, text=replace(self.text, vocab=vocab), markers=markers)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.towers = Halves(cfg)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.alignment = cfg.alignment and Alignment(cfg.alignment, self.towers, embed=cfg.embed)
        self.match_head = nn.Linear(cfg.text.dim, 2)

    def forward(self, batch: ImageText) -> Losses:
        self.twin.follow()
        seen, slow = self.see(batch.images), self.see_slowly(batch.images)
        return self.align(batch, seen, slow, self.towers.encoder.recall(seen))

    @property
    def twin(self) -> Twin[Halves]:
        return learned(self.alignment).twin

    @torch.no_grad()
    def see_slowly(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        """What the twin sees."""
        return self.twin.copy.vision(images)

    def align(
        self, batch: ImageText, seen: Float[Tensor, "b p c"], slow: Float[Tensor, "b p c"], memory: Memory
    ) -> Losses:
        """Both losses of pictures as we and the twin see them, and as text layers hold them in `memory`."""
        text = widened(batch.text).unclosed()
        begun = self.towers.encoder.begin(text)
        with torch.no_grad():
            slow_features = self.twin(slow, self.twin.copy.encoder.begin(text))
        loss, wrong_text, wrong_image = learned(self.alignment)(
            self.towers(seen, begun), slow_features, batch.identity, self.temperature
        )
        wrong = wrong_text.of(begun), asked(wrong_text, text).mask
        states, mask = torch.cat([begun, begun, wrong[0]]), torch.cat([text.mask, text.mask, wrong[1]])
        logits = self._judged(states, mask, beside(self.towers.encoder, seen, memory, wrong_image))
        return {"contrast": loss, "match": match(logits, positives=len(text))}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.towers.vision(images)

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b d"]:
        return self.towers.embed_seen(seen)

    def read(self, text: Text) -> Float[Tensor, "b t d"]:
        return self.towers.encoder.begin(text.unclosed())

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]:
        return self.towers.embed_begun(self.read(text))

    def match(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        return self.pairing(seen)(text, rows)

    def pairing(self, seen: Float[Tensor, "b p c"]) -> Pairing:
        memory = self.towers.encoder.recall(seen)

        def pair(text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
            beside = memory if len(seen) == 1 else rows_of(memory, rows)
            return self._judged(self.read(text), text.unclosed().mask, beside)

        return pair

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Logits: cosines divided by the temperature."""
        return cosine / self.temperature

    def order(self, matched: Float[Tensor, " n"], _cosine: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Matching alone decides."""
        return matched

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b t d"]:
        """States of every word of text `i` after reading picture `i`."""
        return self.towers.encoder.encode(text.unclosed(), self.towers.encoder.recall(seen))

    def _judged(self, begun: Float[Tensor, "n t d"], mask: Tensor, memory: Memory) -> Float[Tensor, "n 2"]:
        return self.match_head(self.towers.encoder.finish_first(begun, mask, memory))


class MaskedFusion(HasAligner, nn.Module):
    """ALBEF's pre-training graph: contrast, match, and masked words, all with the twin's advice."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        fusion: Fusion.Config

        def build(self) -> "MaskedFusion":
            return MaskedFusion(self)

        def fitted(self, vocab: int, markers: Markers) -> "MaskedFusion.Config":
            """The same for another vocabulary."""
            return replace(self, fusion=self.fusion.fitted(vocab, markers))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        text = cfg.fusion.text
        self.fusion = cfg.fusion.build()
        self.word_head = WordHead(text, self.fusion.towers.encoder.embed.word)
        learns = cfg.fusion.alignment
        self.slow_head = learns and Twin(self.word_head, momentum=learns.momentum)
        self.mask, self.vocab = cfg.fusion.markers.mask, text.vocab

    @property
    def aligner(self) -> Fusion:
        return self.fusion

    def forward(self, batch: ImageText) -> Losses:
        self.fusion.twin.follow()
        learned(self.slow_head).follow()
        trust = learned(self.fusion.alignment).trust  # before this forward counts
        seen, slow = self.see(batch.images), self.fusion.see_slowly(batch.images)
        memory = self.fusion.towers.encoder.recall(seen)
        losses = self.fusion.align(batch, seen, slow, memory)
        return losses | {"masked": self._guess(widened(batch.text).unclosed(), slow, memory, trust)}

    def _guess(
        self, text: Text, slow: Float[Tensor, "b p c"], memory: Memory, trust: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """How far hidden words are from what they were, and from what the twin takes them for."""
        rows, width = text.ids.shape
        noise = ranks.ours(torch.rand(rows * ranks.world(), width, 2, device=text.ids.device))
        may = text.mask.clone()
        may[:, 0] = False
        ids, asked = masked(text.ids, may, noise, mask=self.mask, vocab=self.vocab)
        hidden, target = Text(ids, text.mask), text.ids[asked]
        said = self.word_head(self.fusion.towers.encoder.encode(hidden, memory)[asked])
        if not len(target):
            return ranks.fair(said.sum(), 0)
        with torch.no_grad():
            teacher = self.fusion.twin.copy.encoder
            taught = learned(self.slow_head)(teacher.encode(hidden, teacher.recall(slow))[asked])
        loss = (1 - trust) * F.cross_entropy(said, target) + trust * agree(said, taught)
        return ranks.fair(loss, len(target))
