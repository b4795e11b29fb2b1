"""Clouds are read as they were written, and come out centred, in the unit ball, as many points as asked for."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from chiasm.core.errors import MediaError
from chiasm.data.pairs import Cloud, Unread
from chiasm.data.points import CloudProcessor, decode

POINTS = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _ply(form: str, *, after: bytes = b"") -> bytes:
    """Colour and another number stand among the coordinates; faces follow."""
    head = (
        f"ply\nformat {form} 1.0\ncomment made by hand\nelement vertex 30\nproperty uchar red\nproperty double x\n"
        "property float y\nproperty short n\nproperty float z\nelement face 1\nproperty list uchar int vertex_indices\n"
        "end_header\n"
    ).encode()
    if form == "ascii":
        rows = "".join(f"255 {x!r} {y!r} 7 {z!r}\n" for x, y, z in POINTS.tolist())
        return head + rows.encode() + b"3 0 1 2\n"
    order = "<" if "little" in form else ">"
    kinds = [("red", "u1"), ("x", f"{order}f8"), ("y", f"{order}f4"), ("n", f"{order}i2"), ("z", f"{order}f4")]
    rows = np.array([(255, x, y, 7, z) for x, y, z in POINTS], dtype=kinds)
    return head + rows.tobytes() + after


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_files_are_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(_ply(form, after=b"\x03 and the faces"))
    assert np.allclose(decode(path).points, POINTS, rtol=0, atol=1e-6)
    path.write_bytes(_ply(form).replace(b"\n", b"\r\n") if form == "ascii" else _ply(form))
    assert np.allclose(decode(str(path)).points, POINTS, rtol=0, atol=1e-6)


def test_numpy_files_are_read() -> None:
    assert np.array_equal(decode(_npy(POINTS)).points, POINTS)
    coloured = np.concatenate([POINTS, np.ones((30, 3))], axis=1)
    assert np.array_equal(decode(_npy(coloured)).points, POINTS)
    assert np.array_equal(decode(Cloud(POINTS)).points, decode(POINTS).points)


def test_clouds_come_out_centred_in_the_unit_ball() -> None:
    (read,) = CloudProcessor(points=30).read(3 * POINTS + 5)
    torch.testing.assert_close(read.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(read.norm(dim=1).max(), torch.tensor(1.0))
    scaled = (POINTS - POINTS.mean(axis=0)) / np.linalg.norm(POINTS - POINTS.mean(axis=0), axis=1).max()
    torch.testing.assert_close(read, torch.from_numpy(scaled), atol=1e-5, rtol=0)
    assert (CloudProcessor(points=4).read(np.ones((2, 3))) == 0).all(), "one place is its own middle"


def test_points_are_drawn_the_same_every_time_or_repeated() -> None:
    (few,) = CloudProcessor(points=10).read(POINTS)
    assert torch.equal(few, CloudProcessor(points=10).read(POINTS.copy())[0])
    assert len(few.unique(dim=0)) == 10
    (many,) = CloudProcessor(points=75).read(POINTS)
    assert torch.equal(many[:30], many[30:60])
    assert len(many.unique(dim=0)) == 30


@pytest.mark.parametrize(("cloud", "told"), [
    (b"solid cube", "cloud 2 (bytes): is neither .npy nor .ply"),
    (b"ply\nformat ascii 1.0\n", "cloud 2 (bytes): cannot be decoded: its header has no end"),
    (_ply("ascii").replace(b"vertex 30", b"vertex 99"), "cloud 2 (bytes): cannot be decoded: "),
    (_ply("ascii").replace(b"vertex 30", b"edge 30"), "cloud 2 (bytes): cannot be decoded: its first element is not"),
    (_ply("binary_little_endian")[:-3], "cloud 2 (bytes): cannot be decoded: "),
    (_ply("ascii").replace(b"ascii", b"latin"), "cloud 2 (bytes): cannot be decoded: "),
    (_ply("ascii").replace(b"double x", b"double u"), "cloud 2 (bytes): cannot be decoded: "),
    (_npy(np.array(["a"], dtype=object)), "cloud 2 (bytes): cannot be decoded: "),
    (_npy(POINTS)[:100], "cloud 2 (bytes): cannot be decoded: "),
    (_npy(POINTS[:, :2]), "cloud 2 (bytes): is no table of x, y and z, but float32 of (30, 2)"),
    (np.zeros((0, 3)), "cloud 2 (array): is no table"),
    (np.array([[0, 1, np.inf]]), "cloud 2 (array): has places that are no numbers"),
    (Path("none.ply"), "cloud 2 (none.ply): No such file or directory"),
    (Unread("far", "timed out"), "cloud 2 (far): timed out"),
    (7, "cloud 2 (int): is no path, bytes, array or Cloud"),
])  # fmt: skip
def test_what_cannot_be_read_is_said(cloud: object, told: str) -> None:
    with pytest.raises(MediaError, match=re.escape(told)):
        CloudProcessor().read(cloud, index=2)
