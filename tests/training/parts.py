"""Small graphs, batches and loaders to train on; loaded as `chiasm.parts_of_tests`, so that files may name them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.core import ranks
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels
from chiasm.training.run import Run

PIXELS = Pixels(size=2, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Batch:
    """Inputs and what should come out."""

    images: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> "Batch":
        return Batch(self.images.to(device), self.target.to(device))


class Rows:
    """Endless seeded batches, our part of them; `state_dict` is the number of the next one."""

    def __init__(self, *, size: int = 8, seed: int = 0) -> None:
        self.size, self.seed, self.place = size, seed, 0

    def __next__(self) -> Batch:
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + self.place)
        self.place += 1
        images = torch.randn(self.size, 4, generator=draw)
        images = images.chunk(ranks.world())[ranks.rank()]
        return Batch(images, images.flip(1) * 2)

    def state_dict(self) -> Mapping[str, Any]:
        return {"place": self.place, "rank": ranks.rank()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert state["rank"] == ranks.rank()
        self.place = state["place"]


class Poisoned(Rows):
    """The eighth batch holds what is no number, in the last process only."""

    def __next__(self) -> Batch:
        batch = super().__next__()
        bad = self.place == 8 and ranks.rank() == ranks.world() - 1
        return Batch(batch.images, batch.target * float("nan")) if bad else batch


class Words:
    """Stands for a tokenizer."""

    def save(self, path: Path) -> None:
        path.write_text("words")


class Net(nn.Module):
    """Two towers with dropout, a tied matrix, a norm, a temperature and a buffer that counts."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        dim: int = 4
        dropout: float = 0.2

        def build(self) -> "Net":
            return Net(self)

    count: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(cfg.dim, cfg.dim), nn.Dropout(cfg.dropout), nn.Linear(cfg.dim, cfg.dim))
        self.norm = nn.LayerNorm(cfg.dim)
        self.head = nn.Linear(cfg.dim, cfg.dim)
        self.tail = nn.Linear(cfg.dim, cfg.dim)
        self.tail.weight = self.head.weight
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.count.add_(1)
        x = self.norm(self.tower(batch.images))
        return {
            "near": F.mse_loss(self.tail(F.relu(self.head(x))) * self.scale, batch.target),
            "small": x.square().mean(),
        }


class Odd(nn.Module):
    """Remembers something that its process alone has seen, and has parameters that few or none of them use."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        memory: int = 1

        def build(self) -> "Odd":
            return Odd(self)

    seen: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.every, self.first, self.none = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(cfg.memory))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.seen.copy_(batch.images[0, : len(self.seen)])
        guess = self.every(batch.images)
        guess = guess + self.first(batch.images) if ranks.rank() == 0 else guess
        return {"near": F.mse_loss(guess, batch.target)}


STAGE = Stage(
    name="fit",
    preset="net",
    train={"tower.2": 0.5, "norm": 1.0, "head": 1.0, "tail": 1.0, "scale": 1.0},
    losses={"near": 1.0, "small": 0.1},
)
ODD = Stage(name="odd", preset="odd", train={"every": 1.0, "first": 1.0, "none": 1.0}, losses={"near": 1.0})
AGAIN = replace(STAGE, name="again", train={"*": 1.0}, inherit={"": ""})


def run(**changes: Any) -> Run:
    plain = Run(
        name="fit",
        system="tests",
        preset="net",
        stage=STAGE,
        model=Net.Config(),
        data=Rows,
        pixels=PIXELS,
        tokenizer=Words(),
        steps=12,
        lr=1e-2,
        warmup=3,
        checkpoint_every=5,
    )
    return replace(plain, **changes)


def nearness(model: nn.Module) -> dict[str, float]:
    """Higher is better; draws from the random state on purpose, which the loop must hide."""
    torch.rand(3)
    return {"nearness": -float(model(Rows(seed=9).__next__())["near"])}


def two_runs() -> list[Run]:
    """What the killed process trains: validation, the best kept, a second run that inherits."""
    checked = {"validate": nearness, "validate_every": 4, "best": "nearness"}
    return [run(steps=30, **checked), run(name="again", stage=AGAIN, steps=20, seed=1, accumulate=2)]
