"""Words are hidden as a slow loop hides them, as often as BERT says, and never where nothing may be asked."""

import pytest
import torch
from torch import Tensor

from chiasm.objectives.masked import masked

MASK, VOCAB = 4, 50


def _draw(rows: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    ids = torch.randint(5, VOCAB, (rows, width), generator=rng)
    may = torch.rand(rows, width, generator=rng) < 0.7
    return ids, may, torch.rand(rows, width, 2, generator=rng)


def test_a_loop_hides_the_same_words() -> None:
    ids, may, noise = _draw(40, 12)
    hidden, asked = masked(ids, may, noise, mask=MASK, vocab=VOCAB)
    kinds = set()
    for i in range(40):
        for j in range(12):
            fate, other = noise[i, j].tolist()
            expected, kind = int(ids[i, j]), "not asked"
            if may[i, j] and fate < 0.15:
                kind = "masked" if fate < 0.12 else "replaced" if fate < 0.135 else "kept"
                expected = {"masked": MASK, "replaced": int(other * VOCAB), "kept": expected}[kind]
            assert (int(hidden[i, j]), bool(asked[i, j])) == (expected, kind != "not asked")
            kinds.add(kind)
    assert kinds == {"not asked", "masked", "replaced", "kept"}


def test_shares_are_those_of_the_paper() -> None:
    ids, may, noise = _draw(1000, 300)
    hidden, asked = masked(ids, may, noise, mask=MASK, vocab=VOCAB)
    assert float(asked[may].float().mean()) == pytest.approx(0.15, abs=0.003)
    assert float((hidden[asked] == MASK).float().mean()) == pytest.approx(0.8 + 0.1 / VOCAB, abs=0.01)
    kept = 0.1 + 0.1 / VOCAB  # a random word may be the right one
    assert float((hidden[asked] == ids[asked]).float().mean()) == pytest.approx(kept, abs=0.01)
    replaced = hidden[asked & (hidden != ids) & (hidden != MASK)]
    counts = torch.bincount(replaced, minlength=VOCAB)
    assert int((counts > 0).sum()) == VOCAB - 1  # every word but [MASK], which does not count as another


def test_what_may_not_be_asked_stays() -> None:
    ids, may, noise = _draw(50, 20)
    hidden, asked = masked(ids, may, noise, mask=MASK, vocab=VOCAB)
    assert not (asked & ~may).any()
    assert torch.equal(hidden[~asked], ids[~asked])
