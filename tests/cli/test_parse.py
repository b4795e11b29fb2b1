"""What tyro draws as a box is read as a sentence, with colours or without."""

import re

import pytest

from chiasm.cli.parse import sentence

BOX = """\
╭─ Required options ──────────────────────────╮
│ Missing from chiasm match:                  │
│     MODEL                                   │
│         A model folder. (required)          │
│     PICTURES                                │
│         A picture, or a folder. (required)  │
│ ─────────────────────────────────────────── │
│ For full helptext, run chiasm match --help  │
╰─────────────────────────────────────────────╯
"""


@pytest.mark.parametrize("box", [BOX, re.sub(r"[╭╰│─╮╯]+", lambda found: f"\x1b[31m{found[0]}\x1b[0m", BOX)])
def test_a_box_is_a_sentence(box: str) -> None:
    assert sentence(box) == "Missing from chiasm match: MODEL PICTURES"
