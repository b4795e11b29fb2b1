"""The doctor finds what is broken, and only that is a failure."""

import importlib.machinery

import pytest
import torch

from chiasm.cli import doctor

from .conftest import Call


def test_a_whole_installation_passes(call: Call) -> None:
    said = call("doctor")
    assert said.code == 0, said.out
    assert f"torch        {torch.__version__}" in said.out
    assert "simplejpeg decodes" in said.out
    assert "chiasm" in said.out


def test_what_cannot_be_imported_is_told_by_its_last_line(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.setattr(doctor, "TORCH", "print('x')\nimport no_such_module")
    said = call("doctor")
    assert said.code == 1
    assert "!!  torch        ModuleNotFoundError: No module named 'no_such_module'" in said.out
    assert said.err == "chiasm: not everything works: torch\n"
    assert "ok  JPEG " in said.out


@pytest.mark.parametrize(
    ("question", "told"), [("print('0.1')", "0.1, which is not needed"), ("import no_such", "broken: ModuleNotFound")]
)
def test_a_torchvision_is_not_needed(monkeypatch: pytest.MonkeyPatch, question: str, told: str) -> None:
    spec = importlib.machinery.ModuleSpec("torchvision", None)
    monkeypatch.setattr(doctor, "find_spec", lambda _: spec)
    monkeypatch.setattr(doctor, "TORCHVISION", question)
    found = doctor.torchvision()
    assert told in found.told
    assert found.state is not doctor.State.BROKEN


def test_ffmpeg_is_looked_for_and_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "which", {"ffmpeg": "/bin/ffmpeg"}.get)
    assert doctor.ffmpeg() == doctor.Finding(doctor.State.FINE, "ffmpeg", "/bin/ffmpeg")
    monkeypatch.setattr(doctor, "which", lambda _: None)
    assert doctor.ffmpeg().state is doctor.State.NOTE
