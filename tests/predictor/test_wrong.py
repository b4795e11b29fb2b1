"""Whatever else is wrong with what a verb is given is a `ValueError` of one sentence."""

import json
import subprocess
import sys

import pytest

from . import wrong_alone as alone


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[str, str]]:
    command = [sys.executable, alone.__file__]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("name", alone.CALLS)
def test_it_is_one_sentence(name: str, told: dict[str, tuple[str, str]]) -> None:
    kind, sentence = told[name]
    assert (kind, alone.CALLS[name][1] in sentence) == ("ValueError", True), sentence
    assert "\n" not in sentence
