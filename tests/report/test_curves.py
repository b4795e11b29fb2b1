"""Curves as they are in metrics.jsonl, and thinned without bending."""

import json
from pathlib import Path

import pytest

from chiasm.report.curves import read_curves, thin


def test_losses_and_validation_by_name(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "lr": 0.1, "losses": {"match": 0.7, "contrast": 4}, "validation": {}},
        {"step": 2, "lr": 0.1, "losses": {"match": 0.6, "contrast": 3}, "validation": {"mean": 0.2}},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_curves(tmp_path / "metrics.jsonl") == {
        "match": ((1.0, 0.7), (2.0, 0.6)),
        "contrast": ((1.0, 4.0), (2.0, 3.0)),
        "validation mean": ((2.0, 0.2),),
    }


def test_a_line_stays_a_line_and_keeps_its_mean() -> None:
    curve = [(float(i), 2.0 * i) for i in range(1000)]
    thinned = thin(curve, points=50)
    assert len(thinned) == 50
    assert all(y == pytest.approx(2 * x) for x, y in thinned)
    assert sum(y for _, y in thinned) / 50 == pytest.approx(999)


def test_a_short_curve_is_left_alone() -> None:
    assert thin([(0.0, 1.0), (1.0, 5.0)], points=2) == ((0.0, 1.0), (1.0, 5.0))
