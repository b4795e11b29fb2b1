"""Norms against their formulas, and against torch's."""

import pytest
import torch
from torch.nn import functional as F

from chiasm.nn.norm import LayerNorm, RMSNorm


def test_rms_norm_is_its_formula() -> None:
    x, norm = torch.randn(3, 5, 8), RMSNorm.Config(eps=1e-3).build(8)
    torch.nn.init.normal_(norm.weight)
    torch.testing.assert_close(norm(x), F.rms_norm(x, (8,), norm.weight, 1e-3))
    assert norm(x.bfloat16()).dtype == torch.float32  # weights of fp32 widen, as torch's own do
    torch.testing.assert_close(norm.bfloat16()(x.bfloat16()).float(), norm(x), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("config", [RMSNorm.Config(eps=1e-6), LayerNorm.Config(eps=1e-6)])
def test_norms_begin_at_identity(config: RMSNorm.Config | LayerNorm.Config) -> None:
    x = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    torch.testing.assert_close(config.build(4)(x), x)
