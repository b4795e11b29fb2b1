"""Queries that align: what a Q-Former learns before any language model listens (BLIP-2, arXiv:2301.12597, section 3.1).

    picture ─ ViT ─ norm ─ Q-Former ─┬─ queries alone ── nearest query ─ contrast ─ text alone    [CLS] a red ball [SEP]
             frozen                  ├─ queries and text together ── mean of queries ─ match      [CLS] a red ball [SEP]
                                     └─ text after what the queries saw ── generate               [DEC] a red ball [SEP]

There is no momentum twin and no queue: a frozen tower leaves room for batches that are large enough, and the
wrong pairs to match against come from all ranks. `QueryRetriever` has the first two heads and stands alone where
files have no third; `QueryAligner` has all of them.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.archetypes.align import asked, beside, widened, wrong_pairs
from chiasm.archetypes.aligner import HasAligner
from chiasm.core import ranks
from chiasm.core.ability import Pairing
from chiasm.core.types import ImageText, Losses, Markers, Text
from chiasm.nn.bert import Memory, WordHead, rows_of
from chiasm.nn.cache import Cache
from chiasm.nn.norm import LayerNorm
from chiasm.nn.qformer import Looked, QFormer
from chiasm.nn.vit import ViT
from chiasm.objectives.contrastive import contrast, cosines, shared_labels, smoothed
from chiasm.objectives.language import labelled, next_token
from chiasm.objectives.matching import match

NORM = LayerNorm.Config(eps=1e-5)


class QueryRetriever(nn.Module):
    """A picture encoder, and a Q-Former that compares and matches."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        qformer: QFormer.Config
        markers: Markers
        norm: LayerNorm.Config = NORM  # of what the tower sees; 1e-6 in transformers' files
        embed: int = 256
        smoothing: float = 0.1  # of the labels, of contrast and of words

        def __post_init__(self) -> None:
            if self.qformer.text is None or self.qformer.image_dim != self.vision.dim:
                raise ValueError(
                    f"to align, a Q-Former needs a text half and pictures of the tower's width {self.vision.dim}; this "
                    f"one has text {self.qformer.text} and takes {self.qformer.image_dim}"
                )

        def build(self) -> "QueryRetriever":
            return QueryRetriever(self)

        def fitted(self, vocab: int, markers: Markers) -> "QueryRetriever.Config":
            """The same for another vocabulary."""
            return replace(self, qformer=self.qformer.worded(vocab), markers=markers)

        def sized(self, image: int | None) -> "QueryRetriever.Config":
            """The same for pictures of another size, if one is given."""
            return replace(self, vision=self.vision.sized(image))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.vision = cfg.vision.build()
        self.vision_norm = cfg.norm.build(cfg.vision.dim)
        self.qformer = cfg.qformer.build()
        self.image_head = nn.Linear(cfg.qformer.dim, cfg.embed)
        self.text_head = nn.Linear(cfg.qformer.dim, cfg.embed)
        self.match_head = nn.Linear(cfg.qformer.dim, 2)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.smoothing = cfg.smoothing

    def forward(self, batch: ImageText) -> Losses:
        seen = self.see(batch.images)
        memory = self.qformer.recall(seen)
        return self.align(batch, seen, memory, self.qformer.look(memory))

    def align(self, batch: ImageText, seen: Float[Tensor, "b p c"], memory: Memory, looked: Looked) -> Losses:
        """Contrast with the rows of all ranks, which get no gradient from it, and matching with their hardest."""
        image, text = self._embedded(looked), self.embed_text(batch.text)
        images, texts, everyone = ranks.gather_all(image.detach(), text.detach(), batch.identity)
        same = batch.identity[:, None] == everyone[None, :]
        to_text, to_image = cosines(image, texts) / self.temperature, cosines(images, text).T / self.temperature
        truth = smoothed(shared_labels(same), self.smoothing)
        wrong_text, wrong_image = wrong_pairs([to_text, to_image], same)
        words = widened(batch.text)
        pairs = Text.cat([words, words, asked(wrong_text, words)])
        logits = self._judged(beside(self.qformer, seen, memory, wrong_image), pairs)
        return {
            "contrast": (contrast(to_text, truth) + contrast(to_image, truth)) / 2,
            "match": match(logits, positives=len(words)),
        }

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        """A tower that does not learn leaves no graph: neither its weights nor pictures ask for a gradient."""
        return self.vision_norm(self.vision(images))

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b q d"]:
        return self._embedded(self.qformer.look(self.qformer.recall(seen)))

    def look(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b q d"]:
        """States of the queries alone."""
        return self.qformer.look(self.qformer.recall(seen)).states

    def read(self, text: Text) -> Float[Tensor, "b t d"]:
        return self.qformer.read(text)

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]:
        return F.normalize(self.text_head(self.qformer.first(text)), dim=-1)

    def match(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        return self.pairing(seen)(text, rows)

    def pairing(self, seen: Float[Tensor, "b p c"]) -> Pairing:
        memory = self.qformer.recall(seen)
        return lambda text, rows: self._judged(memory if len(seen) == 1 else rows_of(memory, rows), text)

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Logits: cosines divided by the temperature."""
        return cosine / self.temperature

    def order(self, matched: Float[Tensor, " n"], cosine: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Logit plus cosine, as in the released code."""
        return matched + cosine

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b q d"]:
        """States of the queries beside text `i`, after they have read picture `i`."""
        return self.qformer.together(self.qformer.recall(seen), text)

    def _embedded(self, looked: Looked) -> Float[Tensor, "b q d"]:
        return F.normalize(self.image_head(looked.states), dim=-1)

    def _judged(self, memory: Memory, text: Text) -> Float[Tensor, "n 2"]:
        """The mean of what every query says."""
        return self.match_head(self.qformer.together(memory, text)).mean(dim=1)


class QueryAligner(HasAligner, nn.Module):
    """The first stage's graph: the same, and a head that writes about what the queries saw."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        retriever: QueryRetriever.Config

        def build(self) -> "QueryAligner":
            return QueryAligner(self)

        def fitted(self, vocab: int, markers: Markers) -> "QueryAligner.Config":
            """The same for another vocabulary."""
            return replace(self, retriever=self.retriever.fitted(vocab, markers))

        def sized(self, image: int | None) -> "QueryAligner.Config":
            """The same for pictures of another size, if one is given."""
            return replace(self, retriever=self.retriever.sized(image))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        qformer, markers = cfg.retriever.qformer, cfg.retriever.markers
        self.retriever = cfg.retriever.build()
        self.word_head = WordHead(qformer, self.retriever.qformer.words)
        self.start, self.end = markers.dec, markers.sep
        self.smoothing = cfg.retriever.smoothing

    @property
    def aligner(self) -> QueryRetriever:
        return self.retriever

    def forward(self, batch: ImageText) -> Losses:
        seen = self.see(batch.images)
        memory = self.retriever.qformer.recall(seen)
        looked = self.retriever.qformer.look(memory)
        return self.retriever.align(batch, seen, memory, looked) | self.describe(batch.text, looked)

    def describe(self, text: Text, looked: Looked) -> Losses:
        """What comes next, for words that see the queries; padding on the right needs no mask."""
        text, qformer = text.opened_by(self.start), self.retriever.qformer
        states, _ = qformer.decode(text.ids, qformer.blank(looked.known))
        states, target = labelled(states, text.ids, text.mask)
        loss = next_token(self.word_head(states), target, smoothing=self.smoothing)
        return {"generate": ranks.fair(loss, len(target))}

    def look(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b q d"]:
        return self.retriever.look(seen)

    def recall(self, seen: Float[Tensor, "b p c"]) -> Cache:
        qformer = self.retriever.qformer
        return qformer.blank(qformer.look(qformer.recall(seen)).known)

    def speak(
        self, ids: Int[Tensor, "n t"], state: Cache, present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n v"], Cache]:
        states, state = self.retriever.qformer.decode(ids, state, present)
        return self.word_head(states[:, -1]), state
