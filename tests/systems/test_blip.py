"""BLIP has the paper's sizes and learns from pictures, not from texts alone."""

from dataclasses import replace

import pytest
import torch

from chiasm.archetypes.med import Sharing
from chiasm.core.types import ImageText, Text
from chiasm.systems import blip

NAMED = {
    Sharing.ALL: 224,
    Sharing.ALL_BUT_CROSS_ATTENTION: 252,
    Sharing.ALL_BUT_SELF_ATTENTION: 252,
    Sharing.NONE: 361,
}  # millions of parameters in table 3 of the paper


@pytest.mark.parametrize("sharing", Sharing)
def test_the_sizes_of_table_three(sharing: Sharing) -> None:
    with torch.device("meta"):
        model = replace(blip.base(), sharing=sharing).build()
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(NAMED[sharing], abs=0.8)


def _colours(rows: int, rng: torch.Generator) -> ImageText:
    """A flat colour of two channels, and two words that name their strengths."""
    level = torch.randint(4, (rows, 2), generator=rng)
    images = torch.zeros(rows, 3, 32, 32)
    images[:, :2] = (level / 1.5 - 1)[:, :, None, None]
    ends = [torch.full((rows, 1), token) for token in (2, 3)]
    ids = torch.cat([ends[0], 10 + level[:, :1], 20 + level[:, 1:], ends[1]], dim=1)
    return ImageText(images, Text(ids, torch.ones_like(ids, dtype=torch.bool)), level[:, 0] * 4 + level[:, 1])


def _trained(*, shuffled: bool) -> dict[str, float]:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model, last = blip.tiny().build(), list[dict[str, float]]()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(60):
        batch = _colours(24, rng)
        if shuffled:
            batch = replace(batch, images=batch.images[torch.randperm(24, generator=rng)])
        losses = model(batch)
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        last.append({name: loss.item() for name, loss in losses.items()})
    return {name: sum(losses[name] for losses in last[-10:]) / 10 for name in last[0]}


def test_every_objective_learns_from_the_pictures() -> None:
    seeing, blind = _trained(shuffled=False), _trained(shuffled=True)
    for name, loss in seeing.items():
        assert loss < blind[name] - 0.1, name
