"""Where a text stops."""

import torch

from chiasm.decoding.spoken import Spoken, cut


def test_a_text_stops_before_its_first_end() -> None:
    tokens = torch.tensor([[5, 1, 1, 1], [1, 5, 5, 5], [5, 6, 7, 8]])
    assert cut(tokens, torch.tensor([-0.5, -1.0, -2.0]), end=1) == [
        Spoken((5,), -0.5),
        Spoken((), -1.0),
        Spoken((5, 6, 7, 8), -2.0),
    ]
