"""Align before fuse: contrast with a slow twin's keys, which also finds the wrong pairs that are hard to tell.

    picture ─┐                    ┌─ this batch, on all ranks ─┐
             ├─ cosine with keys ─┤                            ├─ contrast with soft targets
    text ────┘                    └─ the queue of earlier ones ┘
                     └─ a wrong text and a wrong picture a row, for matching

Section 3 of ALBEF (arXiv:2107.07651), which BLIP took over. On several ranks each computes its own
rows, and all of them together what one process would for the whole batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.core import ranks
from chiasm.core.types import Text
from chiasm.nn.attention import KV
from chiasm.nn.bert import Memory, rows_of
from chiasm.nn.momentum import Queue, Twin, believed
from chiasm.objectives.contrastive import contrast, soft_targets
from chiasm.objectives.matching import hard_negatives

Part = TypeVar("Part", bound=nn.Module)


class Features(NamedTuple):
    """Unit vectors of pictures and of their texts."""

    image: Float[Tensor, "b d"]
    text: Float[Tensor, "b d"]


class Aligned(NamedTuple):
    """The loss of contrast, and for each row a wrong text and a wrong picture among the rows of all ranks."""

    loss: Float[Tensor, ""]
    wrong_text: ranks.Asked
    wrong_image: ranks.Asked


class Alignment(nn.Module, Generic[Part]):
    """A slow twin of the towers, a queue for each side, and a trust in the twin.

    The trust grows over the first `ramp` forwards. `hardness` scales what contrast believes before wrong
    pairs are drawn by it: 1 in the papers, 0 draws any wrong pair.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        queue: int
        momentum: float = 0.995
        trust: float = 0.4
        hardness: float = 1.0
        ramp: int

    forwards: Int[Tensor, ""]  # how often the twin was asked

    def __init__(self, cfg: Config, towers: Part, *, embed: int) -> None:
        super().__init__()
        self.twin = Twin(towers, momentum=cfg.momentum)
        self.image_queue = Queue(cfg.queue, embed)
        self.text_queue = Queue(cfg.queue, embed)
        self.register_buffer("forwards", torch.zeros((), dtype=torch.long))
        self.most, self.ramp, self.hardness = cfg.trust, cfg.ramp, cfg.hardness

    @property
    def trust(self) -> Float[Tensor, ""]:
        """How far the twin is believed in the next forward: the papers' alpha."""
        return believed(self.most, self.forwards, ramp=self.ramp)

    def restart(self) -> None:
        """Take the twin to be the towers' equal; queues and trust are new as they are."""
        self.twin.restart()

    def forward(
        self, fast: Features, slow: Features, identity: Int[Tensor, " b"], temperature: nn.Parameter
    ) -> Aligned:
        with torch.no_grad():
            temperature.clamp_(0.001, 0.5)
        *known, everyone = ranks.gather_all(*slow, identity)
        known = Features(*known)
        images = torch.cat([known.image, self.image_queue.vectors])
        texts = torch.cat([known.text, self.text_queue.vectors])
        same = identity[:, None] == torch.cat([everyone, self.text_queue.identity])[None, :]
        to_text, to_image = fast.image @ texts.T / temperature, fast.text @ images.T / temperature
        with torch.no_grad():
            truth = soft_targets(slow.image @ texts.T / temperature, same, trust=self.trust)
            truth_text = soft_targets(slow.text @ images.T / temperature, same, trust=self.trust)
            self.image_queue.push(known.image, everyone)
            self.text_queue.push(known.text, everyone)
            self.forwards.add_(1)
        loss = (contrast(to_text, truth) + contrast(to_image, truth_text)) / 2
        now = slice(len(everyone))
        found = [self.hardness * logits[:, now] for logits in (to_text, to_image)]
        return Aligned(loss, *wrong_pairs(found, same[:, now]))


def wrong_pairs(found: Sequence[Float[Tensor, "b k"]], same: Bool[Tensor, "b k"]) -> tuple[ranks.Asked, ...]:
    """For each direction a wrong column a row, by noise that rank 0 draws for all: their number changes no draw."""
    rows, everyone = same.shape
    noise = [torch.empty(everyone, everyone, device=same.device).exponential_() for _ in found]
    return ranks.ask(
        *(
            hard_negatives(logits, same, drawn, first=ranks.rank() * rows)
            for logits, drawn in zip(found, ranks.ours(torch.stack(noise, dim=1)).unbind(1), strict=True)
        )
    )


def learned(part: Part | None) -> Part:
    """What training cannot do without."""
    if part is None:
        raise ValueError(
            "this model cannot be trained: its config has no `alignment`, so there is no twin to learn from"
        )
    return part


def widened(text: Text) -> Text:
    """As wide as the longest text of all ranks."""
    if ranks.world() == 1:
        return text
    width = ranks.gather(torch.tensor([text.ids.shape[1]], device=text.ids.device)).max()
    more = (0, int(width) - text.ids.shape[1])
    return Text(F.pad(text.ids, more), F.pad(text.mask, more))


def asked(wrong: ranks.Asked, text: Text) -> Text:
    """Texts of any rank; all must be of one width."""
    found = wrong.of(torch.stack([text.ids, text.mask.long()], dim=1))
    return Text(found[:, 0], found[:, 1].bool())


@runtime_checkable
class Recalls(Protocol):
    """Has layers that read pictures."""

    def recall(self, image: Float[Tensor, "b p c"]) -> Memory: ...


def beside(reader: Recalls, seen: Float[Tensor, "b p c"], memory: Memory, wrong: ranks.Asked) -> Memory:
    """What layers that read hold of our pictures, of wrong ones, which any rank may have seen, and of ours again."""
    if ranks.world() == 1:
        right = torch.arange(len(seen), device=seen.device)
        return rows_of(memory, torch.cat([right, wrong.ours, right]))
    return tuple(
        own and other and KV(torch.cat([own.k, other.k, own.k]), torch.cat([own.v, other.v, own.v]))
        for own, other in zip(memory, reader.recall(wrong.of(seen)), strict=True)
    )
