"""Texts without their padding say what they say with it: there and back, layer by layer, beside any pictures."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from chiasm.core.types import Text
from chiasm.nn.bert import Bert
from chiasm.nn.packing import Packing
from chiasm.nn.reading import TwoPictures

MASK = torch.tensor([[True, True, True, False], [True, False, False, False], [True, True, True, True]])
CFG = Bert.Config(vocab=50, image_dim=20, dim=24, depth=3, heads=3, reads=(1, 2), max_len=8, dropout=0.0, std=0.2)


def test_words_stand_side_by_side_and_find_their_places_again() -> None:
    packing, x = Packing.of(MASK), torch.arange(12.0).view(3, 4, 1) + 1
    assert packing.pack(x).flatten().tolist() == [1, 2, 3, 5, 9, 10, 11, 12]
    assert packing.unpack(packing.pack(x))[..., 0].tolist() == [[1, 2, 3, 0], [5, 0, 0, 0], [9, 10, 11, 12]]


@pytest.fixture
def text() -> Text:
    return Text(torch.randint(3, 50, (3, 4), generator=torch.Generator().manual_seed(0)), MASK)


def padded(model: Bert, text: Text, seen: Tensor) -> Tensor:
    """Every word and all padding through every layer, one layer after the other."""
    x = model.embed(text.ids, torch.arange(text.ids.shape[1])[None])
    for layer, image in zip(model.layers, model.recall(seen), strict=True):
        x = layer(x, layer.remember(x), text.mask[:, None, None], image)
    return x


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("cfg", [CFG, replace(CFG, reading=TwoPictures(merges=1))])
@torch.no_grad()
def test_states_are_those_of_padded_texts(cfg: Bert.Config, pictures: int, text: Text) -> None:
    torch.manual_seed(0)
    model, seen = cfg.build().eval(), torch.randn(pictures, 6, 20)
    slow = padded(model, text, seen if pictures == 3 else seen.expand(3, -1, -1))
    states = model.encode(text, model.recall(seen))
    torch.testing.assert_close(states[MASK], slow[MASK], rtol=1e-4, atol=1e-5)
    assert not states[~MASK].any()
    torch.testing.assert_close(model.first(text, model.recall(seen)), slow[:, 0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_nothing_is_computed_for_padding(text: Text) -> None:
    model, seen = CFG.build().eval(), torch.randn(1, 6, 20)
    rows = list[int]()
    for layer in model.layers:
        layer.think.register_forward_hook(lambda _part, _given, states: rows.append(states.shape[:2].numel()))
    model.encode(text, model.recall(seen))
    assert rows == [8, 8, 8]
    model.first(text, model.recall(seen))
    assert rows[3:] == [8, 8, 3]
