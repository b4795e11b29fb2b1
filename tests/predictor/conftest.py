"""A small random model, and something to show it."""

from typing import Any

import numpy as np
import pytest

import chiasm
from chiasm.predictor.verbs import Predictor

WORDS = ["a red circle", "", "the blue square at the top left", "two cats and a dog", "x", "a heart, small"]


@pytest.fixture(scope="session")
def model() -> Predictor:
    return chiasm.create("blip/tiny", seed=3, device="cpu")


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (20 + 7 * i, 50 - 5 * i, 3), dtype=np.uint8) for i in range(6)]


@pytest.fixture
def words() -> list[str]:
    return [*WORDS]
