"""Splicing against a loop over rows and tokens, and what it says when numbers do not fit."""

import pytest
import torch
from torch import Tensor

from chiasm.core.types import Text
from chiasm.nn.splice import splice

SENSES = ("image", "sound", "points")
IDS = torch.tensor([[0, 0, 5, -1, 6], [7, -2, -1, 8, -1], [0, 0, 0, 0, 9]])
TEXT = Text(IDS, IDS != 0)


def slow(words: Tensor, shown: dict[str, Tensor]) -> list[Tensor]:
    """A row after the other."""
    queues = {-1 - number: iter(shown[name]) for number, name in enumerate(SENSES) if name in shown}
    return [
        torch.cat([next(queues[token]) if token < 0 else words[row, at, None] for at, token in enumerate(ids) if token])
        for row, ids in enumerate(IDS.tolist())
    ]


def test_places_are_filled_in_order() -> None:
    words, shown = torch.randn(3, 5, 4), {"image": torch.randn(3, 2, 4), "sound": torch.randn(1, 3, 4)}
    given, present = splice(words, TEXT, shown, SENSES)
    assert ["".join(".x"[int(one)] for one in row) for row in present] == ["......xxxx"[-9:], "xxxxxxxxx", "........x"]
    for row, expected in enumerate(slow(words, shown)):
        assert torch.equal(given[row, present[row]], expected)
    assert not given[~present].any()


def test_every_vector_gets_its_gradient() -> None:
    words, image = torch.randn(3, 5, 4, requires_grad=True), torch.randn(3, 2, 4, requires_grad=True)
    given, _ = splice(words, TEXT, {"image": image, "sound": torch.randn(1, 3, 4)}, SENSES)
    given.sum().backward()
    assert words.grad is not None
    assert image.grad is not None
    assert image.grad.eq(1).all()
    assert words.grad[..., 0].eq((IDS > 0).float()).all()


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"image": 2, "sound": 1}, "3 places for image, but 2 of that kind were given"),
        ({"image": 3}, "1 places for sound, but 0 of that kind"),
        ({"image": 3, "sound": 1, "points": 1}, "0 places for points, but 1"),
        ({"smell": 1}, "no sense for smell: it has image, sound, points"),
    ],
)
def test_both_numbers_are_told(shown: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        splice(torch.randn(3, 5, 4), TEXT, {name: torch.randn(count, 2, 4) for name, count in shown.items()}, SENSES)
