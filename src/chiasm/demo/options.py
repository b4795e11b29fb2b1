"""What a user can ask of the demo, and the fixed table that turns minutes into steps (no torch here)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chiasm.core.errors import unknown

MADE = ("made", "emoji")
WORLDS = ("single", "backdrop", "pair", "scene")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much of everything: counts of pairs and of steps, never a clock."""

    web: int  # pairs with noisy texts
    human: int  # pairs with true ones
    test: int  # pairs in each test set
    steps: int  # of each pre-training, in batches of 64
    tune: int  # of each fine-tuning


# Minutes on two cores of the machine that docs/speed.md describes; the 15 were 13, with nothing else to do.
BUDGETS: Mapping[int, Budget] = {
    1: Budget(web=600, human=120, test=60, steps=40, tune=20),
    5: Budget(web=6000, human=500, test=300, steps=600, tune=150),
    15: Budget(web=16_000, human=800, test=500, steps=1600, tune=300),
    30: Budget(web=16_000, human=800, test=500, steps=4000, tune=500),
    60: Budget(web=32_000, human=2000, test=500, steps=9000, tune=800),
}


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Pre-train on noisy pairs, fine-tune captioner and filter, bootstrap the data, train anew, compare."""

    out: Path = Path("demo")
    """Folder for data, models and report; the same command again goes on in it."""
    minutes: int = 15
    """Scales data and steps by a fixed table (1, 5, 15, 30, 60), never by a clock."""
    seeds: int = 1
    """Repeat everything with so many seeds and report the spread."""
    pictures: str = "made"
    """made (a procedural world), emoji (of the system's font), or a folder of your own pairs."""
    world: str = "single"
    """Which made world: single, backdrop, pair or scene; later ones are harder."""
    noise: float = 0.5
    """Share of wrong web texts in made worlds and emoji."""
    ablations: bool = False
    """Also nucleus against beam, and what captioner, filter, encoder and decoder share."""
    workers: int = 2
    """Processes, one core each; changes the time and nothing else."""

    def __post_init__(self) -> None:
        for name, value in (("minutes", self.minutes), ("seeds", self.seeds), ("workers", self.workers)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, but is {value}")
        if self.world not in WORLDS:
            raise unknown("world", self.world, WORLDS)
        if self.pictures not in MADE and not Path(self.pictures).exists():
            raise ValueError(f"--pictures {self.pictures} is neither 'made' nor 'emoji' nor a folder that exists")
        if not 0 < self.noise < 1:
            raise ValueError(f"noise is the share of wrong texts, above 0 and below 1, but is {self.noise}")

    @property
    def budget(self) -> Budget:
        """The largest of the table that fits."""
        return BUDGETS[max(minutes for minutes in BUDGETS if minutes <= self.minutes)]
