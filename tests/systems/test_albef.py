"""ALBEF has the paper's size and learns from pictures, not from texts alone."""

from dataclasses import replace

import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertModel, ViTConfig, ViTModel

from chiasm.core.types import ImageText, Text
from chiasm.systems import albef


def _size(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_the_size_is_that_of_its_parts() -> None:
    with torch.device("meta"):
        vision = ViTModel(ViTConfig(image_size=256), add_pooling_layer=False)
        words = BertForMaskedLM(BertConfig())
        plain = BertModel(BertConfig(is_decoder=True))
        reading = BertModel(BertConfig(is_decoder=True, add_cross_attention=True))
        ours, tuned = albef.base().build(), albef.SYSTEM.presets["base-retrieve"]().build()
    cross = (_size(reading) - _size(plain)) // 2  # half of the layers
    types, embeds, matches, temperature = 2 * 768, 2 * (768 * 256 + 256), 768 * 2 + 2, 1
    expected = _size(vision) + _size(words) - types + cross + embeds + matches + temperature
    assert _size(ours) == expected
    assert round(expected / 1e6) == 210
    word_head, more_patches = 768 * 768 + 3 * 768 + 30_522, (24 * 24 - 16 * 16) * 768
    assert _size(tuned) == expected - word_head + more_patches


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
    model, last = albef.tiny().build(), list[dict[str, float]]()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.5e-3)
    for _ in range(100):
        batch = _colours(24, rng)
        if shuffled:
            batch = replace(batch, images=batch.images[torch.randperm(24, generator=rng)])
        losses = model(batch)
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        last.append({name: loss.item() for name, loss in losses.items()})
    return {name: sum(losses[name] for losses in last[-20:]) / 20 for name in last[0]}


def test_every_objective_learns_from_the_pictures() -> None:
    seeing, blind = _trained(shuffled=False), _trained(shuffled=True)
    for name, loss in seeing.items():
        assert loss < blind[name] - 0.1, name
