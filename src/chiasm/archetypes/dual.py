"""Dual encoder: two towers that never see each other until their vectors meet (CLIP, arXiv:2103.00020, section 2.3).

picture ─ ViT ─ first token ─ linear ─┐
                                      ├─ cosine x scale ─ contrast, both ways, over the batches of all ranks
text ─ tower ─ end of text ── linear ─┘
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.core import ranks
from chiasm.core.types import ImageText, Losses, Markers, Text
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import ViT
from chiasm.objectives.contrastive import contrast, shared_labels
from chiasm.objectives.tiled import contrast_pairs

START = math.log(1 / 0.07)
LARGEST = math.log(100.0)  # beyond this the paper found training unstable (section 2.5)


class DualEncoder(nn.Module):
    """Pictures and texts in one space of unit vectors, compared at a learned scale."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        text: TextTower.Config
        embed: int

        def build(self) -> "DualEncoder":
            return DualEncoder(self)

        def fitted(self, vocab: int, markers: Markers) -> "DualEncoder.Config":
            """The same for another vocabulary."""
            return self.worded(vocab, markers.sep)

        def worded(self, vocab: int, end: int) -> "DualEncoder.Config":
            """The same for any vocabulary that has a mark for the end of a text."""
            return replace(self, text=replace(self.text, vocab=vocab, end=None if end == vocab - 1 else end))

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.vision = cfg.vision.build()
        self.text = cfg.text.build()
        self.image_head = nn.Linear(cfg.vision.dim, cfg.embed, bias=False)
        self.text_head = nn.Linear(cfg.text.dim, cfg.embed, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(START))
        for head in (self.image_head, self.text_head):
            nn.init.normal_(head.weight, std=head.in_features**-0.5)

    @property
    def temperature(self) -> Tensor:
        """What cosines are divided by."""
        return self.log_scale.clamp(max=LARGEST).neg().exp()

    def forward(self, batch: ImageText) -> Losses:
        with torch.no_grad():  # in place: a scale that has grown too large still gets a gradient
            self.log_scale.clamp_(max=LARGEST)
        scale = self.log_scale.exp()
        image, text = self.embed_seen(self.see(batch.images)), self.embed_text(batch.text)
        images, texts = ranks.gather_learning(image), ranks.gather_learning(text)
        if images is image:  # one process: both ways are the same tiles
            return {"contrast": contrast_pairs(scale * image, text, batch.identity)}
        labels = shared_labels(batch.identity[:, None] == ranks.gather(batch.identity)[None, :])
        return {"contrast": (contrast(scale * image @ texts.T, labels) + contrast(scale * text @ images.T, labels)) / 2}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.vision(images)

    def embed_seen(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b d"]:
        return F.normalize(self.image_head(seen[:, 0]), dim=-1)

    def read(self, text: Text) -> Float[Tensor, "b t d"]:
        return self.text.encode(text)

    def embed_text(self, text: Text) -> Float[Tensor, "b d"]:
        return F.normalize(self.text_head(self.text.last(text)), dim=-1)

    def sharpen(self, cosine: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Logits: cosines divided by the temperature."""
        return cosine / self.temperature
