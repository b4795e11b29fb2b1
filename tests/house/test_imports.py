"""The door opens fast: what is not asked for is not imported."""

import subprocess
import sys

HEAVY = {"torch", "numpy", "PIL", "matplotlib", "pyarrow", "tokenizers", "transformers", "huggingface_hub", "jaxtyping"}


def modules(*arguments: str) -> set[str]:
    """What a fresh interpreter imports while it does something, as it tells by itself."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_import_brings_almost_nothing() -> None:
    ours = modules("-c", "import chiasm") - modules("-c", "pass")
    assert ours & HEAVY == set()
    assert len(ours) < 60


def test_help_needs_no_torch() -> None:
    ours = modules("-m", "chiasm", "--help")
    assert "chiasm" in ours
    assert ours & HEAVY == set()
    assert len(ours) < 400


def test_the_count_sees_what_is_heavy() -> None:
    assert "numpy" in modules("-c", "import chiasm, numpy")
