"""Exit codes and sentences: whatever is typed, no traceback, and a hint where there is a near word."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import chiasm
from chiasm.cli import main as front
from chiasm.cli.commands import COMMANDS

from .conftest import Call


def test_help_lists_every_command(call: Call) -> None:
    for words in (["--help"], ["-h"]):
        said = call(*words)
        assert said.code == 0
        assert all(f"  {name} " in said.out for name in COMMANDS)
    assert call("--version").out == f"chiasm {chiasm.__version__}\n"


def test_a_group_lists_its_steps(call: Call) -> None:
    done = call("data", "--help")
    assert done.code == 0
    assert "data inspect" in done.out
    assert "demo" not in done.out
    assert call("data").err == "chiasm: chiasm data needs a step: inspect; chiasm data --help tells more\n"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_every_command_has_help(call: Call, name: str) -> None:
    said = call(*name.split(), "--help")
    assert said.code == 0
    assert f"usage: chiasm {name} " in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "no command was given"),
        ("capton", "unknown command 'capton'; did you mean 'caption'?"),
        ("systms", "did you mean 'systems'?"),
        ("capfilt rnu x", "unknown step of capfilt 'rnu'; did you mean 'run'?"),
        ("caption", "MODEL"),
        ("caption m", "no picture was given"),
        ("caption m a.png --stratgy beam", "unknown option '--stratgy'; did you mean '--strategy'?"),
        ("caption m a.png --strategy bean", "'bean'"),
        ("caption m a.png --num-beams many", "'many'"),
        ("caption m a.png --num-beams", "--num-beams"),
        ("caption m a.png --json=3", "'3'"),
        ("match m", "PICTURES"),
        ("match m a.png", "no text"),
        ("classify m a.png", "no label"),
        ("classify m a.png x --top 0", "--top is 0"),
        ("embed m", "pictures or --texts"),
        ("embed m a.png --texts b", "pictures or --texts"),
        ("systems blp", "did you mean 'blip'?"),
        ("systems blip more", "'more'"),
        ("doctor --jsn", "unknown option '--jsn'"),
        ("capfilt", "SOURCE"),
        ("capfilt a", "OUT"),
        ("capfilt a b", "--model"),
        ("capfilt plan a b --shard-sze 3", "did you mean '--shard-size'?"),
        ("capfilt run a --captioner b", "--filter"),
        ("capfilt select a b --keep all", "'all'"),
        ("train", "no recipe was given"),
        ("demo --minuts 3", "did you mean '--minutes'?"),
        ("demo --minutes 0", "minutes must be at least 1"),
    ],
)
def test_a_wrong_line_is_told_in_one_line(
    call: Call, words: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = call(*words.split())
    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert len(said.err.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ValueError("two\n  lines"), 1, "chiasm: two lines\n"),
        (FileNotFoundError(2, "No such file or directory", "x.png"), 1, "chiasm: x.png: No such file or directory\n"),
        (KeyError("name"), 1, "chiasm: KeyError: 'name' (run it again with --debug to see where)\n"),
        (KeyboardInterrupt(), 130, "chiasm: stopped; the same command goes on from what was saved\n"),
    ],
)
def test_errors_are_one_sentence(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def fail(_words: list[str]) -> None:
        raise error

    monkeypatch.setattr(front, "resolve", lambda _: fail)
    said = call("train", "x.py")
    assert (said.code, said.err) == (code, told)
    if isinstance(error, Exception):
        with pytest.raises(type(error)):
            call("train", "x.py", "--debug")


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "chiasm", "--help"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (front.BROKEN_PIPE, "")


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    recipe = tmp_path / "slow.py"
    recipe.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-m", "chiasm", "train", str(recipe)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert signal.SIGINT == 2
    assert done.returncode == 130
    assert done.stderr == "chiasm: stopped; the same command goes on from what was saved\n"
