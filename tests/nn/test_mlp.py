"""Activations agree with `transformers`, and the MLP with its formula."""

import pytest
import torch
from transformers.activations import ACT2FN

from chiasm.nn.mlp import MLP, Activation


@pytest.mark.parametrize(("ours", "theirs"), [(Activation.GELU, "gelu"), (Activation.QUICK_GELU, "quick_gelu")])
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
