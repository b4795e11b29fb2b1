"""ALBEF has the paper's size and learns from pictures, not from texts alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, BertModel, ViTConfig, ViTModel

from chiasm.core.types import Losses
from chiasm.systems import albef
from chiasm.training.inherit import inherit

from .colours import colours


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


@pytest.mark.parametrize(("name", "before", "student"), [
    ("vqa", "pretrain", "answerer.chain"), ("nlvr2", "assign", "student"), ("ve", "pretrain", "student"),
])  # fmt: skip
def test_a_twin_starts_where_its_student_does(name: str, before: str, student: str) -> None:
    """Not at the random weights that both were built with."""
    torch.manual_seed(0)
    stage, earlier = albef.SYSTEM.stage(name), albef.SYSTEM.stage(before)
    previous, model = (albef.SYSTEM.presets[each.preset]().build() for each in (earlier, stage))
    random = model.twin.copy.vision.norm.weight.clone(), dict(model.get_submodule(student).named_parameters())
    with torch.no_grad():
        for weight in previous.parameters():
            weight.add_(1.0)
    inherit(model, previous, stage)
    assert not torch.equal(model.twin.copy.vision.norm.weight, random[0])
    assert all(torch.equal(buffer, random[1][name]) for name, buffer in model.twin.copy.named_buffers())


def test_every_objective_learns_from_the_pictures() -> None:
    """On pairs whose pictures are shuffled, what was learned from true ones must be of no help."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model = albef.tiny().build()
    slow = model.fusion.temperature
    quick = [weight for weight in model.parameters() if weight is not slow]
    groups = [{"params": quick}, {"params": [slow], "lr": 1e-4}]
    optimiser = torch.optim.AdamW(groups, lr=1.5e-3, betas=(0.9, 0.98))
    for _ in range(100):
        losses = model(colours(24, rng))
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    seeing, blind = list[Losses](), list[Losses]()
    with torch.no_grad():
        for _ in range(10):
            batch = colours(24, rng)
            seeing.append(model(batch))
            blind.append(model(replace(batch, images=batch.images.roll(1, dims=0))))
    for name in losses:
        true, false = (torch.stack([one[name] for one in told]).mean() for told in (seeing, blind))
        assert true < false - 0.05, name
