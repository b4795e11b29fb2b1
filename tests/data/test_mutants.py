"""Damaged pictures by the thousand: each is read as Pillow reads it, or refused in one line; no process dies of one.

libtiff writes complaints of its own to stderr, which Python cannot keep from there; nothing else may.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

MEGABYTES = 3000
LIBTIFF = re.compile(r"^[\w.]+: .*$")


def outcomes(first: int, count: int) -> Counter[str]:
    """What became of so many files; the file that killed a process is named."""
    script = Path(__file__).with_name("mutants.py")
    command = [sys.executable, str(script), "0", str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    *told, last = done.stdout.splitlines() or [""]
    assert done.returncode == 0, f"after {last!r}: code {done.returncode}\n{done.stderr[-2000:]}"
    assert int(last.removeprefix("megabytes ")) < MEGABYTES
    assert [line for line in done.stderr.splitlines() if line and not LIBTIFF.match(line)] == []
    assert [int(line.split()[0]) for line in told] == [*range(first, first + count)]
    return Counter(line.partition(" ")[2] for line in told)


def test_five_hundred_damaged_pictures() -> None:
    found = outcomes(0, 500)
    assert found.keys() == {"read", "refused"}
    assert min(found.values()) > 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, 1000))
def test_ten_thousand_damaged_pictures(first: int) -> None:
    assert outcomes(first, 1000).keys() == {"read", "refused"}
