"""Activations agree with `transformers`, and the MLP with its formula."""

import pytest
import torch
from transformers.activations import ACT2FN

from chiasm.nn.mlp import MLP, Activation, GatedMLP

NAMES = {"GELU": "gelu", "QUICK_GELU": "quick_gelu", "TANH_GELU": "gelu_new", "RELU": "relu", "SILU": "silu"}


@pytest.mark.parametrize(("ours", "theirs"), [(kind, NAMES[kind.name]) for kind in Activation])
def test_activations_agree_with_transformers(ours: Activation, theirs: str) -> None:
    x = torch.linspace(-6, 6, 101)
    torch.testing.assert_close(ours(x), ACT2FN[theirs](x))
    assert (Activation.QUICK_GELU(x) - Activation.GELU(x)).abs().max() > 0.01


def test_an_mlp_bends_once() -> None:
    torch.manual_seed(0)
    mlp, x = MLP(4, 6, Activation.QUICK_GELU), torch.randn(2, 3, 4)
    inner = x @ mlp.up.weight.T + mlp.up.bias
    expected = (inner / (1 + torch.exp(-1.702 * inner))) @ mlp.down.weight.T + mlp.down.bias
    torch.testing.assert_close(mlp(x), expected)


def test_a_gate_weighs_what_another_map_says() -> None:
    torch.manual_seed(0)
    mlp, x = GatedMLP(4, 6, Activation.SILU), torch.randn(2, 3, 4)
    inner = torch.nn.functional.silu(x @ mlp.gate.weight.T) * (x @ mlp.up.weight.T)
    torch.testing.assert_close(mlp(x), inner @ mlp.down.weight.T)
