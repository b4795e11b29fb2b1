"""Every kind of file that people have on their disks is read as what it shows, or refused with its reason."""

import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from chiasm.core.errors import MediaError
from chiasm.data import images
from chiasm.data.images import decode

from . import corpus


@pytest.mark.parametrize("name", corpus.SHOWN)
def test_a_picture_is_what_it_shows(name: str, tmp_path: Path) -> None:
    sample = corpus.SHOWN[name]
    path = tmp_path / "some.jpg"  # whatever it is
    path.write_bytes(sample.data)
    found = decode(path)
    assert found.dtype == np.uint8
    assert found.shape == sample.shows.shape
    assert np.abs(found.astype(int) - sample.shows).max() <= sample.off


@pytest.mark.parametrize("name", corpus.REFUSED)
def test_what_shows_nothing_says_why(name: str, tmp_path: Path) -> None:
    data, reason = corpus.REFUSED[name]
    path = tmp_path / "some.png"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=reason) as told:
        decode(path, index=3)
    assert (told.value.index, told.value.path) == (3, str(path))
    assert len(str(told.value).splitlines()) == 1
    assert len(told.value.reason) < 200


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    pipe, door = tmp_path / "pipe.png", tmp_path / "door"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        for path in (pipe, door, Path("/dev/zero"), Path("/dev/null")):
            said: list[str] = []

            def read(path: Path = path, said: list[str] = said) -> None:
                try:
                    decode(path)
                except MediaError as error:
                    said.append(error.reason)

            thread = threading.Thread(target=read, daemon=True)
            thread.start()
            thread.join(10)
            assert said == ["Is a pipe or a device, not a file"]


def test_a_file_that_no_picture_fills_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tiff"
    with path.open("wb") as file:
        file.truncate(images.BYTES + 1)
    with pytest.raises(MediaError, match=r"bytes, and at most .* are read"):
        decode(path)


def test_links(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(corpus.SHOWN["PNG"].data)
    (tmp_path / "good").symlink_to("picture")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    assert np.array_equal(decode(tmp_path / "good"), corpus.NOISE)
    for name, reason in (("dangling", "No such file"), ("round", "Too many levels of symbolic links")):
        with pytest.raises(MediaError, match=reason):
            decode(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["new\nline.png", "日本語 🚒.png", "\udcff\udcfe.png", "-x.png", "a" * 250 + ".png", " "]
)
def test_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(corpus.SHOWN["PNG"].data)
    assert np.array_equal(decode(path), corpus.NOISE)
    path.write_bytes(b"")
    with pytest.raises(MediaError, match="is empty"):
        decode(path)


def test_what_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(corpus.SHOWN["PNG"].data)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(MediaError, match="Permission denied"):
        decode(path)
