"""The demo's command hands its options over and shows its progress."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chiasm.cli import demo
from chiasm.demo.options import DemoOptions
from chiasm.demo.pool import Event

from .conftest import Call


def test_options_and_progress(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(options: DemoOptions, on_event: Callable[[Event], None], on_note: Callable[[str], None]) -> Path:
        assert options == DemoOptions(out=tmp_path, minutes=1, seeds=2, pictures="emoji", ablations=True)
        for step in range(31):
            on_event(Event(1, "pretrain", step, 30))
        on_note("30 pairs in\nshop")
        return options.out / "report.html"

    monkeypatch.setattr(demo, "run", run)
    words = ("--out", tmp_path, "--minutes", 1, "--seeds", 2, "--pictures", "emoji", "--ablations")
    said = call("demo", *words)
    assert said.code == 0
    assert len(said.err.splitlines()) == 12
    assert said.err.endswith("seed 1: pretrain: 30 of 30\n30 pairs in shop\n")
    assert f"report: {tmp_path / 'report.html'}" in said.out
