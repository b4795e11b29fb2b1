"""BLIP-2 has the paper's sizes, and what it learns comes from the pictures."""

import pytest
import torch
from torch import nn

from chiasm.archetypes.queries import QueryAligner
from chiasm.nn.qformer import QFormer
from chiasm.systems import blip2
from chiasm.training.freeze import groups

from .colours import colours, learned


def _meta(preset: str) -> nn.Module:
    with torch.device("meta"):
        return blip2.SYSTEM.presets[preset]().build()


def _millions(module: nn.Module) -> float:
    return sum(weight.numel() for weight in module.parameters()) / 1e6


def test_the_q_former_has_the_paper_s_size() -> None:
    """188 M in the paper's section 3.1; 186.7 M of them with its heads over ViT-g, 105 M without words in stage 2."""
    model = _meta("aligner")
    assert _millions(model.retriever.qformer) == pytest.approx(185.7, abs=0.1)
    learns = groups(model, blip2.SYSTEM.stage("align"), weight_decay=0.05)
    trained = sum(weight.numel() for group in learns for weight in group["params"]) / 1e6
    assert trained == pytest.approx(186.7, abs=0.1)
    with torch.device("meta"):
        mute = QFormer.Config(image_dim=1408, text=None).build()
    assert _millions(mute) == pytest.approx(105.1, abs=0.1)


def test_larger_pictures_mean_more_places_and_nothing_else() -> None:
    usual, coco = _meta("aligner"), _meta("aligner-coco")
    assert coco.retriever.vision.position.shape[1] - 1 == (364 // 14) ** 2
    assert _millions(coco) - _millions(usual) == pytest.approx((26**2 - 16**2) * 1408 / 1e6)


def _trained(*, shuffled: bool) -> dict[str, float]:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model = blip2.SYSTEM.presets["tiny-aligner"]().build()
    parts = groups(model, blip2.SYSTEM.stage("align"), weight_decay=0.05)
    optimiser = torch.optim.AdamW([{"params": group["params"]} for group in parts], lr=3e-3)
    losses = learned(model, optimiser, rng, steps=40, rows=16, shuffled=shuffled)
    return losses | {"match": _mistaken(model, rng)}


@torch.no_grad()
def _mistaken(model: QueryAligner, rng: torch.Generator) -> float:
    """The share of texts that match another picture better than their own."""
    batch = colours(64, rng)
    other = batch.images.roll(1, dims=0)
    both = [model.match(model.see(images), batch.text, torch.arange(64))[:, 1] for images in (batch.images, other)]
    differ = batch.identity != batch.identity.roll(1)
    return (both[0] <= both[1])[differ].float().mean().item()


@pytest.mark.slow
def test_every_objective_learns_from_what_a_frozen_tower_sees() -> None:
    seeing, blind = _trained(shuffled=False), _trained(shuffled=True)
    for name, loss in seeing.items():
        assert loss < blind[name] - 0.1, (name, seeing, blind)
