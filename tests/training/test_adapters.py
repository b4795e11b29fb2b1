"""Adapters beside frozen projections: what learns, and that merging changes nothing but rounding."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chiasm.archetypes.med import Captioner
from chiasm.core.types import ImageText, Text
from chiasm.data.text import Tokenizer
from chiasm.systems import blip
from chiasm.training.adapters import LoRA

WORDS = Tokenizer.builtin()


@pytest.fixture
def model() -> Captioner:
    torch.manual_seed(0)
    return blip.captioner(blip.tiny().fitted(WORDS.vocab, WORDS.markers)).build().eval()


@pytest.fixture
def batch() -> ImageText:
    text = WORDS.encode(["a red circle", "two"])
    return ImageText(torch.randn(2, 3, 32, 32), Text(text.ids, text.mask), torch.arange(2))


def loss(model: nn.Module, batch: ImageText) -> Tensor:
    return model(batch)["language"]


def shaken(model: nn.Module) -> None:
    """As if it had learned."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))


def test_it_begins_as_the_model_it_was(model: Captioner, batch: ImageText) -> None:
    before = loss(model, batch).item()
    LoRA(rank=3).add(model)
    assert loss(model.eval(), batch).item() == before


def test_only_adapters_get_gradients(model: Captioner, batch: ImageText) -> None:
    LoRA(rank=3).add(model)
    shaken(model)
    loss(model, batch).backward()
    named = dict(model.named_parameters())
    adapters = {name for name in named if "lora" in name}
    assert {name for name, parameter in named.items() if parameter.grad is not None} == adapters
    assert all(named[name].grad.abs().sum() > 0 for name in adapters)
    sizes = {name: tuple(named[name].shape) for name in adapters}
    assert sizes["decoder.layers.1.read.f.k.lora_A.default.weight"] == (3, 64)
    assert len(adapters) == 2 * (2 * 6 + 2 * 10)  # of 2 layers each: attention and MLP; a second attention in the text


def test_merging_is_a_plain_model_of_the_same_answers(model: Captioner, batch: ImageText) -> None:
    names, before = [*model.state_dict()], loss(model, batch).item()
    LoRA(rank=3).add(model)
    shaken(model)
    trained = loss(model.eval(), batch).item()
    plain = LoRA(rank=3).merged(model)
    assert [*plain.state_dict()] == names
    assert {type(module) for module in plain.modules()} == {
        type(module) for module in blip.captioner(blip.tiny()).build().modules()
    }
    assert loss(plain, batch).item() == pytest.approx(trained, abs=1e-5)
    assert loss(model, batch).item() == trained, "what goes on learning is left as it was"
    assert abs(trained - before) > 1e-3


def test_by_hand(model: Captioner) -> None:
    LoRA(rank=2, alpha=6, names=("up",)).add(model)
    shaken(model)
    layer: Any = model.vision.layers[0].mlp.up
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = layer.base_layer.weight + 6 / 2 * up @ down
    plain: Any = LoRA(rank=2, alpha=6, names=("up",)).merged(model)
    torch.testing.assert_close(plain.vision.layers[0].mlp.up.weight, expected)
    torch.testing.assert_close(plain.vision.layers[0].mlp.down.weight, model.vision.layers[0].mlp.down.weight)


def test_what_is_wrong_is_said(model: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="rank is 0"):
        LoRA(rank=0)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"pip install 'chiasm\[lora\]'"):
        LoRA(rank=1).add(model)


@pytest.mark.slow
def test_two_processes_are_one(on_two_ranks: Callable[[Path], list[Any]], tmp_path: Path) -> None:
    """Same losses, norms and merged weights; and what learned is not what it was."""
    script = Path(__file__).with_name("detours.py")
    subprocess.run([sys.executable, script, tmp_path], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    one = torch.load(tmp_path / "0", weights_only=True)
    assert one["told"][-1, 0] < one["told"][0, 0]
    for rank in on_two_ranks(script):
        assert rank.keys() == one.keys()
        assert not any("lora" in name for name in rank)
        torch.testing.assert_close(rank, one, rtol=1e-3, atol=1e-4)
