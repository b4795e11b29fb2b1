"""BLIP has the paper's sizes and learns from pictures, not from texts alone."""

from dataclasses import replace

import pytest
import torch

from chiasm.archetypes.med import Sharing
from chiasm.systems import blip

from .colours import learned

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


def _trained(*, shuffled: bool) -> dict[str, float]:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model = blip.tiny().build()
    return learned(model, torch.optim.AdamW(model.parameters(), lr=1e-3), rng, steps=60, rows=24, shuffled=shuffled)


def test_every_objective_learns_from_the_pictures() -> None:
    seeing, blind = _trained(shuffled=False), _trained(shuffled=True)
    for name, loss in seeing.items():
        assert loss < blind[name] - 0.1, name
