"""Crops lie inside the picture and have the shares they were asked for."""

import pytest
import torch

from chiasm.data.augment import RandomResizedCrop
from chiasm.data.sources.chance import chance

GRADIENT = torch.arange(40, dtype=torch.uint8).mul(6).expand(3, 40, 40).contiguous()


def test_crops_stay_inside_and_keep_their_shares() -> None:
    crop = RandomResizedCrop(scale=(0.25, 0.5), ratio=(0.8, 1.25))
    views = [crop(GRADIENT, 20, chance(i)) for i in range(200)]
    assert {tuple(view.shape) for view in views} == {(3, 20, 20)}
    widths = [(view.max() - view.min()).item() / 6 + 1 for view in views]
    # from 40 * sqrt(0.25 * 0.8) = 18 columns to 40 * sqrt(0.5 * 1.25) = 32
    assert 16.5 < min(widths) < 20
    assert 29 < max(widths) < 33.5
    assert min(view.min().item() for view in views) < 6
    assert max(view.max().item() for view in views) > 33 * 6


def test_the_whole_is_a_crop() -> None:
    crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    assert torch.equal(crop(GRADIENT, 40, chance(0)), GRADIENT)
    assert crop.room(40) == 40
    assert RandomResizedCrop(scale=(0.25, 1.0)).room(40) == 80


@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.0, 1.0), (1.0, 1.0)), ((0.9, 0.5), (1.0, 1.0)), ((0.5, 1.0), (2.0, 1.0))]
)
def test_impossible_crops(scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="should rise"):
        RandomResizedCrop(scale=scale, ratio=ratio)
