"""Numbers as people read them."""

import pytest

from chiasm.inspection.words import bytes_, number


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0"), (0.0625, "0.06"), (1.0, "1"), (1.5, "1.50"), (22.6, "23"), (1024.0, "1,024"), (1.39e6, "1.39 M"),
     (99_999.4, "99,999"), (262_144.0, "0.26 M"), (2.5e9, "2.5 G")],
)  # fmt: skip
def test_numbers(value: float, told: str) -> None:
    assert number(value) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (18_687_724, "18.7 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_bytes(count: int, told: str) -> None:
    assert bytes_(count) == told
