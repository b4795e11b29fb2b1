"""The filter's numbers equal loops over all pairs and all thresholds."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from chiasm.evaluation.filtering import Kept, auc, by_kind, histogram, precision, roc, sensitivity


def texts(seed: int, n: int = 60) -> tuple[Tensor, Tensor]:
    """Right texts score higher, with many ties."""
    generator = torch.Generator().manual_seed(seed)
    right = torch.rand(n, generator=generator) < 0.6
    raw = torch.randint(0, 8, (n,), generator=generator) + 3 * right
    return raw / 10, right


def slow_auc(probability: Tensor, right: Tensor) -> float:
    good, bad = probability[right].tolist(), probability[~right].tolist()
    return sum((a > b) + (a == b) / 2 for a in good for b in bad) / (len(good) * len(bad))


@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_a_loop_over_pairs_and_the_area_below_the_curve(seed: int) -> None:
    probability, right = texts(seed)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(roc(probability, right)))
    assert auc(probability, right) == pytest.approx(slow_auc(probability, right))
    assert area == pytest.approx(slow_auc(probability, right))
    assert 0.5 < area < 1


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_passes_through_every_threshold(seed: int) -> None:
    probability, right = texts(seed)
    points = roc(probability, right)
    assert points[0] == (0, 0)
    assert points[-1] == (1, 1)
    for threshold in probability.unique().tolist():
        kept = probability >= threshold
        x, y = (kept & ~right).sum() / (~right).sum(), (kept & right).sum() / right.sum()
        assert any(on_segment((x.item(), y.item()), a, b) for a, b in pairwise(points))


def on_segment(point: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> bool:
    across = (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])
    inside = all(min(a[i], b[i]) - 1e-6 <= point[i] <= max(a[i], b[i]) + 1e-6 for i in (0, 1))
    return abs(across) < 1e-6 and inside


def test_a_straight_curve_is_two_points() -> None:
    assert roc(torch.full((6,), 0.5), torch.tensor([True, False] * 3)) == ((0, 0), (1, 1))


def test_a_perfect_filter() -> None:
    probability, right = torch.tensor([0.9, 0.8, 0.1, 0.2]), torch.tensor([True, True, False, False])
    assert auc(probability, right) == 1
    assert auc(1 - probability, right) == 0
    assert roc(probability, right) == ((0, 0), (0, 1), (1, 1))


def test_precision_and_recall_at_the_threshold() -> None:
    probability, right = torch.tensor([0.9, 0.5, 0.4, 0.6]), torch.tensor([True, True, True, False])
    assert precision(probability, right) == pytest.approx(2 / 3)
    assert sensitivity(probability, right) == pytest.approx(2 / 3)
    assert precision(probability, right, 0.95) == 1
    assert sensitivity(probability, right, 0.95) == 0


def test_one_sided_data_has_no_curve() -> None:
    for measure in (auc, roc):
        with pytest.raises(ValueError, match="of 3 texts 3 are right"):
            measure(torch.rand(3), torch.ones(3, dtype=torch.bool))


def test_kinds_are_counted_apart() -> None:
    got = by_kind(torch.tensor([0.9, 0.1, 0.5, 0.2]), ["", "swap", "swap", ""])
    assert got == {"": Kept(2, 1), "swap": Kept(2, 1)}


def test_histogram_holds_every_text() -> None:
    assert histogram(torch.tensor([0.0, 0.24, 0.25, 0.999, 1.0]), bins=4) == (2, 1, 0, 2)
