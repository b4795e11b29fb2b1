"""Settings that make no sense."""

from collections.abc import Callable

import pytest

from chiasm.decoding.strategies import Beam, Limits, Nucleus


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Beam(0), "beams is 0"),
        (lambda: Nucleus(0.0), "top_p is 0.0"),
        (lambda: Nucleus(1.1), "top_p is 1.1"),
        (lambda: Nucleus(0.9, temperature=0.0), "temperature is 0.0"),
        (lambda: Limits(3, min_new_tokens=4), "min_new_tokens is 4 and max_new_tokens is 3"),
        (lambda: Limits(-1), "max_new_tokens is -1"),
        (lambda: Limits(3, repetition_penalty=0.0), "repetition_penalty is 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
