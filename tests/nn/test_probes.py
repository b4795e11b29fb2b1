"""Encoders of sounds and points learn the made world: a linear probe on their states, against shuffled labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.data.sources.canvas import Scene
from chiasm.data.sources.solids import cloud
from chiasm.data.sources.tones import sound
from chiasm.data.sources.world import Placed, World, WorldPairs
from chiasm.nn.beats import BEATs
from chiasm.nn.points import AllGroups, PointEncoder
from chiasm.nn.spectrogram import Spectrogram

SHAPES = ("circle", "square", "ring")
STEPS, SEEN, UNSEEN = 80, 300, 150
HEARD = Spectrogram(mels=32)


@dataclass(frozen=True)
class Case:
    """What is perceived of a scene, and who learns from that."""

    perceive: Callable[[Scene], np.ndarray]
    encoder: PointEncoder.Config | BEATs.Config


CASES = {
    "points": Case(
        lambda scene: 2 * (each := cloud(scene, 128)) - 2 * each.mean(axis=0),
        PointEncoder.Config(
            end=AllGroups(), width=32, depth=2, heads=2, groups=16, neighbours=12, widths=(16, 32, 32, 32), place=16,
            drop_path=0.0, std=0.2,
        ),
    ),
    "sound": Case(
        lambda scene: sound(scene, HEARD.samples(32)),
        BEATs.Config(sound=HEARD, dim=32, depth=2, heads=2, patch=8, stem=32, kernel=8, groups=4, buckets=16, reach=16),
    ),
}  # fmt: skip


def _probed(case: Case, *, given: Callable[[Tensor], Tensor]) -> float:
    """The share of unseen scenes whose shape is read off, after training with what `given` makes of the labels."""
    world = World(layout=Placed(places=("centre",)), shapes=SHAPES, colours=("red", "green", "pink"))
    pairs = WorldPairs(world, count=SEEN + UNSEEN)
    scenes = [pairs.scene(index) for index in range(len(pairs))]
    x = torch.from_numpy(np.stack([case.perceive(scene) for scene in scenes])).float()
    labels = torch.tensor([SHAPES.index(scene.facts["shape"]) for scene in scenes])
    torch.manual_seed(0)
    encoder, probe, taught = case.encoder.build(), nn.Linear(case.encoder.dim, len(SHAPES)), given(labels[:SEEN])
    weights = [*encoder.parameters(), *probe.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3)
    for _ in range(STEPS):
        rows = torch.randint(SEEN, (32,))
        loss = F.cross_entropy(probe(encoder(x[rows]).mean(dim=1)), taught[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    with torch.inference_mode():
        said = probe(encoder.eval()(x[SEEN:]).mean(dim=1)).argmax(dim=1)
    return float((said == labels[SEEN:]).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_shapes_are_learned_and_shuffled_labels_are_not(name: str) -> None:
    learned = _probed(CASES[name], given=lambda labels: labels)
    shuffled = _probed(CASES[name], given=lambda labels: labels[torch.randperm(len(labels))])
    assert learned > 0.75
    assert shuffled < 0.5
