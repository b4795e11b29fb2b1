"""A crash leaves the old bytes or the new ones; a full disk is told in one sentence."""

import errno
import os
from pathlib import Path

import pytest

from chiasm.core.files import OutputError, new_folder, write_atomic, writing


def test_bytes_arrive_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    for data in (b"one", b"two, longer"):
        write_atomic(path, data)
        assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "file.bin"
    write_atomic(path, b"old")
    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OutputError, match=rf"cannot write .*file\.bin: {os.strerror(code)}") as told:
        write_atomic(path, b"new")
    assert told.value.errno == code
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model"

    def fill(text: str, *, fail: bool = False) -> None:
        with new_folder(path) as inside:
            (inside / "a").write_text(text)
            (inside / "deep").mkdir()
            (inside / "deep" / "b").write_text(text)
            assert not fail

    fill("one")
    with pytest.raises(AssertionError):
        fill("two", fail=True)
    assert (path / "a").read_text() == (path / "deep" / "b").read_text() == "one"
    fill("three")
    assert (path / "a").read_text() == "three"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_an_error_is_told_once(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot write .*inner") as told,
        writing(tmp_path / "outer"),
        writing(tmp_path / "inner"),
    ):
        raise OSError(errno.ENOSPC, "full")
    assert "outer" not in str(told.value)
