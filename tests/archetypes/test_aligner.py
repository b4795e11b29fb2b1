"""What aligns by a part of its own answers as that part does, whatever it is called there."""

import torch
from torch import Tensor, nn

from chiasm.archetypes.aligner import Aligner, HasAligner
from chiasm.core.ability import Pairing
from chiasm.core.types import Text
from chiasm.predictor.abilities import Compares, Fuses, Orders

TEXT = Text(torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.bool))


class Part(nn.Module):
    """Says something else to each question."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(0.07))

    def sharpen(self, cosine: Tensor) -> Tensor:
        return cosine / self.temperature

    def see(self, images: Tensor) -> Tensor:
        return images.flatten(2).mT

    def embed_seen(self, seen: Tensor) -> Tensor:
        return seen[:, :2] + 1  # two vectors a picture

    def read(self, text: Text) -> Tensor:
        return text.mask[..., None].float()

    def embed_text(self, text: Text) -> Tensor:
        return text.ids.float() + 2

    def match(self, seen: Tensor, text: Text, rows: Tensor) -> Tensor:
        return seen[rows, 0, :2] + text.ids[:, :1]

    def pairing(self, seen: Tensor) -> Pairing:
        return lambda text, rows: self.match(seen, text, rows) + 3

    def order(self, matched: Tensor, cosine: Tensor) -> Tensor:
        return matched - 2 * cosine

    def fuse(self, seen: Tensor, text: Text) -> Tensor:
        return seen + text.ids[:, :1, None] + 4


class Graph(HasAligner, nn.Module):
    """Has it under a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.own = Part()

    @property
    def aligner(self) -> Aligner:
        return self.own


def test_every_verb_is_the_parts() -> None:
    graph, part = Graph(), Part()
    images, rows = torch.rand(2, 3, 4, 4), torch.tensor([1, 0])
    seen = part.see(images)
    assert list(graph.state_dict()) == ["own.temperature"]
    assert graph.sharpen(torch.tensor([0.07])).equal(torch.tensor([1.0]))
    assert graph.see(images).equal(seen)
    assert graph.embed_seen(seen).equal(part.embed_seen(seen))
    assert graph.read(TEXT).equal(part.read(TEXT))
    assert graph.embed_text(TEXT).equal(part.embed_text(TEXT))
    assert graph.match(seen, TEXT, rows).equal(part.match(seen, TEXT, rows))
    assert graph.pairing(seen)(TEXT, rows).equal(part.pairing(seen)(TEXT, rows))
    assert graph.order(torch.tensor([1.0]), torch.tensor([0.5])).equal(torch.tensor([0.0]))
    assert graph.fuse(seen, TEXT).equal(part.fuse(seen, TEXT))


def test_engines_find_the_verbs() -> None:
    assert all(isinstance(Graph(), kind) for kind in (Aligner, Compares, Orders, Fuses))
