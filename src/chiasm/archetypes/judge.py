"""Which of a few labels a text deserves beside its picture, or beside two.

    picture(s) ─ ViT ─ all tokens, one picture after the other ─┐
    text ───────────────────────────────────────────────────────┴ encoder ─ first word ─ linear, ReLU, linear ─ label

With two pictures it is NLVR2: true or false. BLIP reads them side by side (arXiv:2201.12086, section 5.4),
ALBEF in turns (arXiv:2107.07651, section 5), after it has learned which of two pictures a text belongs to.
With one picture it is visual entailment in ALBEF: contradiction, neutral or entailment.
There both also learn from what a slow twin would say.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from chiasm.archetypes.answer import Opening
from chiasm.core.types import Labelled, Losses, Markers, Text
from chiasm.nn.bert import Bert, Memory, rows_of
from chiasm.nn.init import normal
from chiasm.nn.momentum import Twin, believed
from chiasm.nn.turns import Turns
from chiasm.nn.vit import ViT
from chiasm.objectives.distillation import agree
from chiasm.objectives.matching import choose

TRUTH = ("false", "true")
ASSIGNED = ("first", "second", "neither")
ENTAILMENT = ("contradiction", "neutral", "entailment")


class Judge(nn.Module):
    """How many pictures a text is about follows from how the encoder reads (`nn/reading.py`, `nn/turns.py`)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        vision: ViT.Config
        text: Bert.Config | Turns.Config
        markers: Markers
        labels: tuple[str, ...]
        opening: Opening = Opening.OWN

        def build(self) -> "Judge":
            return Judge(self)

        def fitted(self, vocab: int, markers: Markers) -> "Judge.Config":
            """The same for another vocabulary."""
            return replace(self, text=self.text.worded(vocab), markers=markers)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.vision = cfg.vision.build()
        self.encoder = cfg.text.build()
        dim = cfg.text.dim
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, len(cfg.labels)))
        normal(self.head, std=cfg.text.std)
        self.opening, self.markers = cfg.opening, cfg.markers
        self.labels, self.pictures = cfg.labels, cfg.text.pictures

    def forward(self, batch: Labelled) -> Losses:
        return {"label": choose(self.logits(batch), batch.label)}

    def logits(self, batch: Labelled) -> Float[Tensor, "b l"]:
        """What speaks for each label, whatever the right ones are."""
        seen = self.see(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2]).flatten(1, 2)
        return self._logits(batch.text, self.encoder.recall(seen))

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.vision(images)

    def judge(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n l"]:
        memory = self.encoder.recall(seen)
        return self._logits(text, memory if len(seen) == 1 else rows_of(memory, rows))

    def _logits(self, text: Text, memory: Memory) -> Float[Tensor, "n l"]:
        return self.head(self.encoder.first(self.opening.read(text, self.markers), memory))


class DistilledJudge(nn.Module):
    """Learns from right labels and from a slow twin's belief, which is trusted more and more (ALBEF)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        student: Judge.Config
        momentum: float = 0.995
        trust: float = 0.4
        ramp: int

        def build(self) -> "DistilledJudge":
            return DistilledJudge(self)

        def fitted(self, vocab: int, markers: Markers) -> "DistilledJudge.Config":
            """The same for another vocabulary."""
            return replace(self, student=self.student.fitted(vocab, markers))

    forwards: Int[Tensor, ""]  # how often the twin has moved

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.student = cfg.student.build()
        self.twin = Twin(self.student, momentum=cfg.momentum)
        self.register_buffer("forwards", torch.zeros((), dtype=torch.long))
        self.labels, self.pictures = self.student.labels, self.student.pictures
        self.trust, self.ramp = cfg.trust, cfg.ramp

    def forward(self, batch: Labelled) -> Losses:
        self.twin.follow()
        trust = believed(self.trust, self.forwards, ramp=self.ramp)
        logits = self.student.logits(batch)
        with torch.no_grad():
            slow = self.twin.copy.logits(batch)
        self.forwards.add_(1)
        return {"label": (1 - trust) * choose(logits, batch.label) + trust * agree(logits, slow)}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.student.see(images)

    def judge(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n l"]:
        return self.student.judge(seen, text, rows)


def of_two_pictures(*, towers: str) -> dict[str, str]:
    """What a `Judge` of two pictures inherits where `towers` read one: both of its readers start from the only one."""
    layers, theirs = "encoder.layers.*", f"{towers}.encoder.layers.*"
    same = {f"{layers}.{part}": f"{theirs}.{part}" for part in ("attend", "think", "read.norm")}
    twice = {f"{layers}.read.f.{reader}": f"{theirs}.read.f" for reader in ("first", "second")}
    return {"vision": f"{towers}.vision", "encoder.embed": f"{towers}.encoder.embed", **same, **twice}


def of_turns(*, towers: str) -> dict[str, str]:
    """What a `Judge` that reads two pictures in turns inherits: their readers, too, start from the only ones."""
    encoder = f"{towers}.encoder"
    return {"vision": f"{towers}.vision", "encoder.bert": encoder, "encoder.again.*": f"{encoder}.layers.-*"}
