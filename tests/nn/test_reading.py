"""Reading two pictures equals a slow loop over them, and is plain reading where both are the same."""

import pytest
import torch

from chiasm.core.types import Text
from chiasm.nn.attention import Attention
from chiasm.nn.bert import Bert
from chiasm.nn.reading import OnePicture, TwoPictures

CFG = Bert.Config(
    vocab=50, image_dim=20, dim=24, depth=3, heads=3, reads=(0, 1, 2), reading=TwoPictures(merges=1), max_len=16,
    dropout=0.0, std=0.2,
)  # fmt: skip


@pytest.fixture
def model() -> Bert:
    torch.manual_seed(0)
    return CFG.build().eval()


@pytest.fixture
def text() -> Text:
    rng = torch.Generator().manual_seed(0)
    return Text(torch.randint(3, 50, (2, 6), generator=rng), torch.tensor([[True] * 6, [True] * 4 + [False] * 2]))


@torch.no_grad()
def test_each_layer_reads_both_and_joins_what_they_say(model: Bert, text: Text) -> None:
    """As one would write it down: layer by layer, picture by picture, from the parts' own weights."""
    left, right = torch.randn(2, 5, 20), torch.randn(2, 5, 20)
    x = model.embed(text.ids, torch.arange(6)[None])
    for i, layer in enumerate(model.layers):
        x = layer.attend(x, layer.attend.f.remember(x), text.mask[:, None, None])
        read = layer.read.f
        one, other = (part(x, part.remember(seen)) for part, seen in ((read.first, left), (read.second, right)))
        if i < 1:
            joined = (one + other) / 2
        else:
            joined = one @ read.merge.weight[:, :24].T + other @ read.merge.weight[:, 24:].T + read.merge.bias
        x = layer.think(layer.read.norm(x + joined))
    states = model.encode(text, model.recall(torch.cat([left, right], dim=1)))
    torch.testing.assert_close(states[text.mask], x[text.mask], rtol=1e-4, atol=1e-5)
    swapped = model.encode(text, model.recall(torch.cat([right, left], dim=1)))
    assert not torch.allclose(states, swapped, atol=1e-2)


@torch.no_grad()
def test_the_same_picture_twice_by_the_same_weights_is_one_picture(model: Bert, text: Text) -> None:
    torch.manual_seed(1)
    plain = Bert.Config(**{**vars(CFG), "reading": OnePicture()}).build().eval()
    for ours, theirs in zip(model.layers, plain.layers, strict=True):
        ours.attend, ours.think = theirs.attend, theirs.think
        ours.read.f.first = ours.read.f.second = theirs.read.f
        ours.read.norm = theirs.read.norm
        if isinstance(ours.read.f.merge, torch.nn.Linear):  # a linear map can average too
            ours.read.f.merge.weight.copy_(torch.cat([torch.eye(24), torch.eye(24)], dim=1) / 2)
            ours.read.f.merge.bias.zero_()
    model.embed, seen = plain.embed, torch.randn(2, 5, 20)
    ours, theirs = (
        bert.encode(text, bert.recall(each)) for bert, each in ((model, seen.repeat(1, 2, 1)), (plain, seen))
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_what_is_not_present_is_not_read() -> None:
    torch.manual_seed(0)
    attention, x = Attention(24, 3, kv_dim=20).eval(), torch.randn(2, 4, 24)
    source, present = torch.randn(2, 5, 20), torch.tensor([[True] * 5, [True, True, False, True, False]])
    kv = attention.remember(source, present)
    alone = attention(x[1:], attention.remember(source[1:, present[1]]))
    torch.testing.assert_close(attention(x, kv, kv.mask)[1:], alone)
    picked = kv.rows(torch.tensor([1, 1, 0]))
    assert picked.present is not None
    assert picked.present.tolist() == [present[i].tolist() for i in (1, 1, 0)]


@torch.no_grad()
def test_padding_of_both_pictures_is_hidden_from_each(model: Bert, text: Text) -> None:
    seen, present = torch.randn(2, 10, 20), torch.ones(2, 10, dtype=torch.bool)
    present[:, [3, 4, 8, 9]] = False
    short = seen[:, [0, 1, 2, 5, 6, 7]]
    torch.testing.assert_close(model.encode(text, model.recall(seen, present)), model.encode(text, model.recall(short)))
