"""A language model that learns from texts alone, so that others can then put pictures among its words.

given ─ word vectors ─ language model ─ what is said
"""

from dataclasses import dataclass, replace

from torch import nn

from chiasm.core import ranks
from chiasm.core.types import Losses, Markers, Worded
from chiasm.nn.language import AnyWords, Language, LanguageConfig
from chiasm.objectives.language import next_token_of


class LanguageModel(nn.Module):
    """What is said is learned from, as in `SplicedLM`; there it goes, as `lm`, when it has learned."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lm: LanguageConfig

        def build(self) -> "LanguageModel":
            return LanguageModel(self)

        def fitted(self, vocab: int, _markers: Markers) -> "LanguageModel.Config":
            """The same for another vocabulary; a published one keeps its own."""
            return replace(self, lm=self.lm.worded(vocab)) if isinstance(self.lm, AnyWords) else self

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.lm = cfg.lm.build()

    def forward(self, batch: Worded) -> Losses:
        lm: Language = self.lm
        states = lm.predict(lm.embed(batch.given.ids), batch.given.mask, batch.said)
        target = batch.said.ids[batch.said.mask]
        loss = next_token_of(states, target, lm.logits, weights=tuple(self.lm.parameters()))
        return {"language": ranks.fair(loss, len(target))}
