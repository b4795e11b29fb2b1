"""Texts cut in two, as a slow loop cuts them: anywhere between two tokens, equally often."""

import pytest
import torch

from chiasm.core.types import Text
from chiasm.objectives.prefix import cut

PAD = 0


def texts(*lengths: int) -> Text:
    """Rows of 1, 2, 3, ..."""
    places = torch.arange(max(lengths))[None]
    mask = places < torch.tensor(lengths)[:, None]
    return Text((places + 1) * mask, mask)


def test_a_loop_cuts_at_the_same_places() -> None:
    lengths = [2, 7, 3, 5, 2, 7]
    noise = torch.rand(len(lengths), generator=torch.Generator().manual_seed(0))
    given, said = cut(texts(*lengths), noise, pad=PAD)
    for i, (length, chance) in enumerate(zip(lengths, noise.tolist(), strict=True)):
        words = [*range(1, length + 1)]
        at = 1 + int(chance * (length - 1))
        for side, expected in ((given, words[:at]), (said, words[at:])):
            assert side.ids[i].tolist() == expected + [PAD] * (7 - len(expected))
            assert side.mask[i].tolist() == [True] * len(expected) + [False] * (7 - len(expected))


def test_every_place_is_as_likely() -> None:
    rows = 30_000
    noise = torch.rand(rows, generator=torch.Generator().manual_seed(0))
    given, _ = cut(texts(*[6] * rows), noise, pad=PAD)
    counts = given.mask.sum(dim=1).bincount(minlength=7).tolist()
    assert counts[0] == counts[6] == 0
    assert counts[1:6] == [pytest.approx(rows / 5, rel=0.05)] * 5


def test_both_sides_keep_a_token_at_the_ends_of_chance() -> None:
    for chance, at in ((0.0, 1), (1.0 - 2**-24, 499)):
        given, said = cut(texts(500, 2), torch.full((2,), chance), pad=PAD)
        assert given.mask.sum(dim=1).tolist() == [at, 1]
        assert said.mask.sum(dim=1).tolist() == [500 - at, 1]


def test_the_same_chance_cuts_alike() -> None:
    noise = torch.rand(3)
    one, other = cut(texts(9, 4, 6), noise, pad=PAD), cut(texts(9, 4, 6), noise, pad=PAD)
    assert all(torch.equal(a.ids, b.ids) and torch.equal(a.mask, b.mask) for a, b in zip(one, other, strict=True))


def test_one_token_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="text 1 has 1 token, and needs 2"):
        cut(texts(3, 1), torch.rand(2), pad=PAD)
