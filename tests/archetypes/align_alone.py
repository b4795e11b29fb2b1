"""What one of two ranks learns from its half of a batch: `align_alone.py FOLDER`, with torchrun's variables set."""

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from chiasm.archetypes.align import Alignment
from chiasm.archetypes.answer import Answerer, DistilledAnswerer, Opening
from chiasm.archetypes.fusion import Fusion, MaskedFusion
from chiasm.archetypes.judge import TRUTH, DistilledJudge, Judge
from chiasm.archetypes.med import MED, Retriever
from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.core import ranks
from chiasm.core.types import Asked, ImageText, Labelled, Markers, Text
from chiasm.nn.bert import Bert
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.turns import Turns
from chiasm.nn.vit import PatchStem, ViT

ROWS, STEPS = 6, 3
MARKERS = Markers(pad=0, cls=1, sep=2, mask=3, dec=4, enc=5)
VISION = ViT.Config(dim=16, depth=1, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)
WORDS = Bert.Config(vocab=30, image_dim=16, dim=16, depth=2, heads=2, reads=(0, 1), max_len=12, dropout=0.0, std=0.3)
LEARNS = Alignment.Config(queue=10, momentum=0.9, ramp=2)
ALIGN = Retriever.Config(vision=VISION, text=WORDS, markers=MARKERS, embed=8, alignment=LEARNS)
HALVES = Bert.Config(vocab=30, image_dim=16, dim=16, depth=2, heads=2, reads=(1,), max_len=12, dropout=0.0, std=0.3)
FUSE = Fusion.Config(vision=VISION, text=HALVES, markers=MARKERS, embed=8, alignment=LEARNS)
CLS = Opening.CLS
JUDGE = Judge.Config(vision=VISION, text=Turns.Config(bert=HALVES), markers=MARKERS, labels=TRUTH, opening=CLS)
ANSWER = Answerer.Config(vision=VISION, question=HALVES, answer=WORDS, markers=MARKERS, opening=CLS, smoothing=0.0)
LOOK = QFormer.Config(
    image_dim=16,
    text=Words(vocab=30, max_len=12),
    queries=3,
    dim=16,
    depth=2,
    heads=2,
    reads=(0,),
    dropout=0.0,
    std=0.3,
)
GRAPHS = {
    "med": MED.Config(retriever=ALIGN),
    "queries": QueryAligner.Config(
        retriever=QueryRetriever.Config(vision=VISION, qformer=LOOK, markers=MARKERS, embed=8)
    ),
    "fusion": MaskedFusion.Config(fusion=FUSE),
    "judge": DistilledJudge.Config(student=JUDGE, momentum=0.9, ramp=2),
    "answerer": DistilledAnswerer.Config(answerer=ANSWER, momentum=0.9, ramp=2),
}
Batch = ImageText | Labelled | Asked


def batch(name: str, step: int) -> Batch:
    """Six rows, of which the last three have longer texts; two of six captions mean the same."""
    rng = torch.Generator().manual_seed(step)
    text, images = _text([5, 3, 6, 9, 4, 7], rng), torch.randn(ROWS, 2, 3, 8, 8, generator=rng)
    match name:
        case "judge":
            return Labelled(images, text, torch.tensor([0, 1, 1, 0, 0, 1]))
        case "answerer":
            rows, weights = torch.tensor([0, 1, 1, 2, 3, 4, 4, 5]), torch.rand(8, generator=rng)
            return Asked(images[:, 0], text, _text([3, 4, 3, 5, 3, 3, 6, 4], rng), rows, weights)
    return ImageText(images[:, 0], text, torch.tensor([0, 1, 2, 0, 4, 5]) + step)


def half(whole: Batch, number: int) -> Batch:
    """A rank's rows, no wider than they must be."""
    rows = slice(3 * number, 3 * number + 3)
    match whole:
        case ImageText():
            return ImageText(whole.images[rows], _narrow(whole.text[rows]), whole.identity[rows])
        case Labelled():
            return Labelled(whole.images[rows], _narrow(whole.text[rows]), whole.label[rows])
    own = whole.rows // 3 == number
    texts = _narrow(whole.question[rows]), _narrow(whole.answers[own])
    return Asked(whole.images[rows], *texts, whole.rows[own] - 3 * number, whole.weights[own])


def _text(lengths: list[int], rng: torch.Generator) -> Text:
    ends, width = torch.tensor(lengths)[:, None], max(lengths)
    mask = torch.arange(width)[None] < ends
    ids = torch.randint(6, 30, mask.shape, generator=rng).masked_fill(~mask, MARKERS.pad)
    ids[:, 0] = MARKERS.cls
    return Text(ids.scatter(1, ends - 1, MARKERS.sep), mask)


def _narrow(text: Text) -> Text:
    width = int(text.mask.sum(1).max())
    return Text(text.ids[:, :width], text.mask[:, :width])


def learned(graph: nn.Module, batches: list[Batch]) -> dict[str, Any]:
    """Losses and gradients of each step, and all that the graph holds after them."""
    told: dict[str, Any] = {}
    for step, rows in enumerate(batches):
        losses = graph(rows)
        torch.stack(list(losses.values())).sum().backward()
        told |= {f"{step} {name}": ranks.average(loss.detach().clone()) for name, loss in losses.items()}
        for name, weight in graph.named_parameters():
            told[f"{step} {name}"] = ranks.average(weight.grad.clone())
            weight.data.sub_(0.1 * told[f"{step} {name}"])
            weight.grad = None
    return told | dict(graph.state_dict())


def alone(name: str, number: int, batches: list[Batch]) -> dict[str, Tensor]:
    """`learned`, with the random numbers of a rank."""
    torch.manual_seed(0)
    graph = GRAPHS[name].build()
    torch.manual_seed(number)
    return learned(graph, batches)


def main() -> None:
    dist.init_process_group("gloo")
    number = ranks.rank()
    told = {name: alone(name, number, [half(batch(name, step), number) for step in range(STEPS)]) for name in GRAPHS}
    torch.save(told, Path(sys.argv[1]) / str(number))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
