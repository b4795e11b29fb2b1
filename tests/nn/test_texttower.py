"""The text tower reads from left to right, and ends where OpenAI's code says that a text ends."""

import pytest
import torch

from chiasm.core.types import Text
from chiasm.nn.texttower import TextTower

CFG = TextTower.Config(vocab=49_408, dim=24, depth=3, heads=3, max_len=12)
START, END = 49_406, 49_407


@pytest.fixture
def tower() -> TextTower:
    torch.manual_seed(0)
    return CFG.build().eval()


def _texts(*, pad: int) -> Text:
    """OpenAI's form: start, byte pairs, end, and then zeros; transformers pads with the end itself."""
    rng = torch.Generator().manual_seed(1)
    ids, lengths = torch.randint(1, START, (4, 9), generator=rng), torch.tensor([9, 5, 2, 7])
    mask = torch.arange(9)[None] < lengths[:, None]
    ids[:, 0] = START
    ids[torch.arange(4), lengths - 1] = END
    return Text(ids.masked_fill(~mask, pad), mask)


@torch.inference_mode()
@pytest.mark.parametrize("pad", [0, END])
def test_the_end_is_where_the_largest_id_is(tower: TextTower, pad: int) -> None:
    text = _texts(pad=pad)
    states = tower.encode(text)
    largest = text.ids.argmax(dim=1)  # of equals the first
    assert torch.equal(tower.last(text), states[torch.arange(4), largest])
    assert largest.tolist() == [8, 4, 1, 6]


@torch.inference_mode()
def test_padding_changes_no_feature(tower: TextTower) -> None:
    zeros, ends = tower.last(_texts(pad=0)), tower.last(_texts(pad=END))
    assert torch.equal(zeros, ends)
    text = _texts(pad=0)
    alone = [tower.last(Text(ids[real][None], real[real][None])) for ids, real in zip(text.ids, text.mask, strict=True)]
    torch.testing.assert_close(zeros, torch.cat(alone), rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_no_word_sees_what_comes_after_it(tower: TextTower) -> None:
    text = _texts(pad=0)
    changed = text.ids.clone()
    changed[0, 5] += 1
    before, after = tower.encode(text)[0], tower.encode(Text(changed, text.mask))[0]
    torch.testing.assert_close(before[:5], after[:5])
    assert ((before[5:] - after[5:]).abs().amax(dim=1) > 1e-3).all()


def test_depth_makes_layers_add_less() -> None:
    torch.manual_seed(0)
    shallow, deep = (TextTower.Config(vocab=9, dim=64, depth=depth, heads=2).build() for depth in (1, 4))
    for one, expected in ((shallow, (2 * 64) ** -0.5), (deep, (2 * 4 * 64) ** -0.5)):
        first = next(iter(one.layers))
        assert first.attend.out.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert first.mlp.down.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert first.attend.q.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
        assert first.mlp.up.weight.std().item() == pytest.approx((2 * 64) ** -0.5, rel=0.05)


def test_longer_texts_than_positions_are_refused(tower: TextTower) -> None:
    ids = torch.ones(1, 13, dtype=torch.long)
    with pytest.raises(ValueError, match="a text of 13 tokens for a model of at most 12"):
        tower.encode(Text(ids, ids.bool()))
