"""What the report claims of the table, checked on tables made to say it or not."""

from dataclasses import replace

import pytest
import report_fakes

from chiasm.demo import summary
from chiasm.demo.results import Row
from chiasm.demo.summary import Verdict


def verdicts(level: dict[str, float], *, seeds: int = 1) -> list[Verdict]:
    return list(summary.verdicts(report_fakes.results(level=level, seeds=seeds).rows, "test"))


def test_the_papers_order_is_recognised() -> None:
    assert [one.as_published for one in verdicts(report_fakes.PUBLISHED)] == [True, True]
    assert all(one.clear and one.gain > 0 for one in verdicts(report_fakes.PUBLISHED))


def test_another_order_is_told() -> None:
    for one in verdicts(report_fakes.LEVEL):
        assert not one.as_published
        assert one.order == ("none", "captioner", "filter", "both")


def test_equal_models_follow_no_order() -> None:
    rows = [replace(row, metrics={"test/caption_exact": 0.0}, intervals={}) for row in report_fakes.results().rows]
    (verdict,) = summary.verdicts(rows, "test")
    assert not verdict.as_published
    assert not verdict.clear


def test_a_gain_within_the_doubt_is_not_clear() -> None:
    close = {"none": 0.3, "filter": 0.31, "captioner": 0.32, "both": 0.33}
    assert not any(one.clear for one in verdicts(close))


def test_a_loss_is_not_clear() -> None:
    assert not any(one.clear for one in verdicts({"none": 0.5, "filter": 0.4, "captioner": 0.4, "both": 0.2}))


def test_one_seed_has_an_interval_and_several_a_spread() -> None:
    row = report_fakes.results().rows[0]
    rows = [replace(row, seed=seed, metrics={"test/x": value}) for seed, value in enumerate((0.2, 0.3, 0.4))]
    several = summary.measured(rows, "none", "test/x")
    assert several is not None
    assert (several.value, several.low, several.high) == pytest.approx((0.3, 0.2, 0.4))
    assert several.remark == "± 10.0"
    one = summary.measured([replace(rows[0], intervals={"test/x": (0.15, 0.28)})], "none", "test/x")
    assert one == summary.Measured(0.2, 0.15, 0.28, "15.0 to 28.0")
    assert summary.measured(rows, "both", "test/x") is None


def test_data_are_averaged_over_seeds() -> None:
    row = report_fakes.results().rows[0]
    other = replace(row, seed=1, pairs=replace(row.pairs, web=9000), noise_left=0.5)
    rows: list[Row] = [row, other]
    assert summary.pairs(rows, "none").web == 8500
    assert summary.noise_left(rows, "none") == pytest.approx(0.48)
    assert summary.noise_left([replace(row, noise_left=None)], "none") is None
