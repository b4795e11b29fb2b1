"""Which of a few labels a text deserves beside its picture, or beside two.

    picture(s) ─ ViT ─ all tokens, one picture after the other ─┐
    text ───────────────────────────────────────────────────────┴ encoder ─ first word ─ linear, ReLU, linear ─ label

With two pictures it is NLVR2: true or false. BLIP reads them side by side (arXiv:2201.12086, section 5.4),
ALBEF in turns (arXiv:2107.07651, section 5), after it has learned which of two pictures a text belongs to.
With one picture it is visual entailment in ALBEF: contradiction, neutral or entailment.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor, nn

from chiasm.archetypes.answer import Opening
from chiasm.core.types import Labelled, Losses, Markers, Text
from chiasm.nn.bert import Bert, Memory, rows_of
from chiasm.nn.init import normal
from chiasm.nn.turns import Turns
from chiasm.nn.vit import ViT
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
        seen = self.see(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2]).flatten(1, 2)
        return {"label": choose(self._logits(batch.text, self.encoder.recall(seen)), batch.label)}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.vision(images)

    def judge(self, seen: Float[Tensor, "b p c"], text: Text, rows: Int[Tensor, " n"]) -> Float[Tensor, "n l"]:
        memory = self.encoder.recall(seen)
        return self._logits(text, memory if len(seen) == 1 else rows_of(memory, rows))

    def _logits(self, text: Text, memory: Memory) -> Float[Tensor, "n l"]:
        return self.head(self.encoder.first(self.opening.read(text, self.markers), memory))


def of_two_pictures(*, towers: str) -> dict[str, str]:
    """What a `Judge` of two pictures inherits where `towers` read one: both of its readers start from the only one."""
    layers, theirs = "encoder.layers.*", f"{towers}.encoder.layers.*"
    same = {f"{layers}.{part}": f"{theirs}.{part}" for part in ("attend", "think", "read.norm")}
    twice = {f"{layers}.read.f.{reader}": f"{theirs}.read.f" for reader in ("first", "second")}
    return {"vision": f"{towers}.vision", "encoder.embed": f"{towers}.encoder.embed", **same, **twice}
