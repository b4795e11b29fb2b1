"""Two pictures in turns: a loop over the pairs of layers, shared keys and values, and a start in pre-training."""

from dataclasses import replace

import pytest
import torch

from chiasm.archetypes.fusion import MaskedFusion
from chiasm.core.types import Text
from chiasm.nn.bert import Bert
from chiasm.nn.turns import Turns
from chiasm.systems import albef
from chiasm.training.inherit import inherit

CFG = Bert.Config(vocab=40, image_dim=12, dim=24, depth=5, heads=3, reads=(2, 3, 4), max_len=20, dropout=0.0, std=0.3)
TEXT = Text(torch.randint(5, 40, (3, 7)), torch.arange(7)[None] < torch.tensor([[7], [4], [5]]))


def model() -> Turns:
    torch.manual_seed(0)
    return Turns.Config(bert=CFG).build().eval()


@torch.no_grad()
def test_states_are_a_loop_over_pairs_of_layers() -> None:
    turns, images = model(), torch.randn(3, 10, 12)
    states = turns.encode(TEXT, turns.recall(images))
    for row in range(3):
        x = turns.bert.embed(TEXT.ids[row][TEXT.mask[row]][None], torch.arange(int(TEXT.mask[row].sum()))[None])
        for layer in range(5):
            for reader, picture in ((turns.bert.layers[layer], images[row, :5]), (None, images[row, 5:])):
                if layer < 2 and reader is None:
                    continue
                one = reader or turns.again[layer - 2]
                x = one(x, one.remember(x), None, None if layer < 2 else one.recall(picture[None]))
        torch.testing.assert_close(states[row][TEXT.mask[row]], x[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turns.first(TEXT, turns.recall(images)), states[:, 0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_pictures_are_not_the_same_to_it() -> None:
    turns, images = model(), torch.randn(3, 10, 12)
    swapped = torch.cat(images.chunk(2, dim=1)[::-1], dim=1)
    assert not torch.allclose(turns.first(TEXT, turns.recall(images)), turns.first(TEXT, turns.recall(swapped)))


def test_keys_and_values_are_shared_and_nothing_else() -> None:
    turns = model()
    tied = len(list(turns.named_parameters(remove_duplicate=False))) - len(list(turns.named_parameters()))
    assert tied == 3 * 2 * 2  # layers, keys and values, weight and bias
    for first, second in zip(turns.bert.layers[2:], turns.again, strict=True):
        assert first.read is not None
        assert second.read is not None
        assert first.read.f.k is second.read.f.k
        assert first.read.f.q is not second.read.f.q


@torch.no_grad()
def test_both_layers_of_a_pair_start_from_the_one_of_pretraining() -> None:
    pretrained, turns = albef.tiny().build(), albef.SYSTEM.presets["tiny-assign"]().build()
    assert isinstance(pretrained, MaskedFusion)
    inherit(turns, pretrained, albef.SYSTEM.stage("assign"))
    upper = pretrained.fusion.towers.encoder.layers[1].state_dict()
    for layer in (turns.get_submodule("encoder.bert.layers.1"), turns.get_submodule("encoder.again.0")):
        assert all(torch.equal(value, upper[name]) for name, value in layer.state_dict().items())


def test_layers_that_do_not_read_cannot_take_turns() -> None:
    with pytest.raises(ValueError, match="read one picture each"):
        Turns.Config(bert=replace(CFG, reads=(2, 3))).build()
