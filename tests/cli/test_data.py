"""`chiasm data inspect`: what it prints, writes and refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Call

WORLD = "world:single?count=30&noise=0.5"


def test_the_summary_says_what_stands_out(call: Call, pictures: Path) -> None:
    for name in ("a", "b", "broken"):
        (pictures / f"{name}.txt").write_text("a red circle on the beach")
    said = call("data", "inspect", pictures)
    assert said.code == 0
    assert f"3 pairs in {pictures}" in said.out
    assert "2 that can be read" in said.out
    assert "pictures that cannot be read" in said.out
    assert "pairs: 3 of 3" in said.err


def test_json_is_one_object(call: Call) -> None:
    said = call("data", "inspect", WORLD, "--json", "--sample", 10)
    told = json.loads(said.out)
    assert (told["pairs"], told["inspected"], told["pictures"]["files"]) == (30, 10, 10)
    assert told["texts"]["languages"]["en"] >= 5


def test_two_runs_write_the_same_page(call: Call, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert call("data", "inspect", WORLD, "--out", tmp_path / "new" / f"{name}.html").code == 0
    one, two = ((tmp_path / "new" / f"{name}.html").read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"data:image/jpeg" in one


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("data", 2, "needs a step: inspect"),
        ("data inspct x", 2, "did you mean 'inspect'?"),
        ("data inspect", 2, "SOURCE"),
        ("data inspect nowhere", 1, "nowhere does not exist"),
        (f"data inspect {WORLD} --out page.pdf", 2, "--out takes an .html file, but page.pdf is none"),
        (f"data inspect {WORLD} --out folder.html", 2, "is a folder"),
        (f"data inspect {WORLD} --sample 0", 2, "--sample is 0"),
        (f"data inspect {WORLD} --sample half", 2, "'half'"),
        (f"data inspect {WORLD} --threads -1", 2, "--threads is -1"),
        (f"data inspect {WORLD} --near 9", 2, "--near is 9"),
        (f"data inspect {WORLD} --smaple 3", 2, "did you mean '--sample'?"),
    ],
)
def test_a_wrong_line_is_told_in_one_line(
    call: Call, words: str, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.html").mkdir()
    monkeypatch.chdir(tmp_path)
    said = call(*words.split())
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert len(said.err.splitlines()) == 1
    assert [*tmp_path.iterdir()] == [tmp_path / "folder.html"]


def test_a_place_that_cannot_be_written_is_told(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = call("data", "inspect", WORLD, "--out", tmp_path / "file" / "page.html")
    assert said.code == 1
    assert "page.html" in said.err.splitlines()[-1]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "chiasm", "data", "inspect", "world:single?count=200000", "--out", str(page)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert running.stderr is not None
    assert running.stderr.readline().startswith("pairs: 1 of")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "chiasm: stopped; nothing was changed"
    assert [*tmp_path.iterdir()] == []
