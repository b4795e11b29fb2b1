"""Rows as bytes, seeds, settings."""

import json
from dataclasses import replace

import pytest
from capfilt_fakes import pixels

from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, Said, Status, decode_rows, encode_rows, seed_of
from chiasm.data.pairs import Pair

SETTINGS = Settings(captioner="c", filter="f")
SAID = Said(text="said", prompt="", seed=3, logprob=-1.5)


def test_rows_come_back_as_they_went() -> None:
    plain = Row.begin(Pair("é/1", pixels(0), "a\x00 text\n", {"noise": "", "truth": None}), 3)
    rows = [
        plain,
        replace(
            plain,
            synthetic=(SAID, replace(SAID, prompt="a picture of", seed=2**63 - 1, itc=1.0, itm=0.0)),
            web_itc=-0.25,
            web_itm=0.5,
            width=4,
            height=5,
            blur=0.5,
            hash=2**64 - 1,
            language="en",
        ),
        replace(plain, status=Status.DECODE_ERROR, error="why"),
    ]
    data = encode_rows(rows, SETTINGS)
    assert decode_rows(data) == rows
    assert encode_rows(rows, SETTINGS) == data
    assert json.loads(rows[0].tags) == {"noise": "", "truth": None}
    assert decode_rows(encode_rows([], SETTINGS)) == []


def test_half_a_surrogate_pair_can_be_stored() -> None:
    row = Row.begin(Pair("\ud800", pixels(0), "a\udc00b"), 0)
    assert (row.id, row.web) == ("?", "a?b")
    assert decode_rows(encode_rows([row], SETTINGS)) == [row]


def test_seeds_follow_from_seed_and_sample_alone() -> None:
    seeds = {seed_of(seed, str(sample), text) for seed in range(20) for sample in range(50) for text in range(3)}
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(1, "a") == 1412696799507109594  # of every machine, for ever


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"strategy": "nucles"}, "did you mean 'nucleus'"),
        ({"top_p": 0.0}, "top_p must lie above 0"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"captions": 0}, "captions must be at least 1"),
        ({"captions": 3, "strategy": "greedy"}, "3 captions by greedy would all be the same"),
        ({"prompts": ()}, "prompts must be one or more"),
        ({"prompts": ("a", "a")}, "each another one"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(SETTINGS, **wrong)
