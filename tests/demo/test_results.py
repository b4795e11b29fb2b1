"""Results survive JSON as they were."""

import json

import pytest
import report_fakes

from chiasm.demo.results import Row, from_json, to_json


def test_there_and_back() -> None:
    whole = report_fakes.results(seeds=2, tests=("known", "unseen"))
    assert from_json(to_json(whole)) == whole
    assert from_json(to_json(whole.rows[0]), Row) == whole.rows[0]


def test_unknown_truth_survives() -> None:
    row = from_json(to_json(report_fakes.results().rows[0]).replace('"noise_left": 0.46', '"noise_left": null'), Row)
    assert row.noise_left is None


def test_a_misspelt_key_is_an_error() -> None:
    data = json.loads(to_json(report_fakes.results()))
    data["rows"][0]["metrik"] = {}
    with pytest.raises(ValueError, match="unknown key of Row 'metrik'; did you mean 'metrics'"):
        from_json(json.dumps(data))


def test_no_number_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(report_fakes.quality(0).__class__(**{**vars(report_fakes.quality(0)), "auc": float("nan")}))
