"""Point clouds to tensors: any file or array in, as many points as a model takes out, in the unit ball.

    path | bytes | Cloud | array ─ decode ─ x, y, z ─ some of them by lot ─ centred ─ scaled

Files are NumPy's (`.npy`: an array of three columns or more) and PLY's, in text or binary: of its vertices x, y
and z count, and nothing else. X-InstructBLIP (arXiv:2311.18799) reads no colours either.
"""

import io
import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from chiasm.core.errors import MediaError
from chiasm.core.files import read_thing
from chiasm.data.pairs import Cloud, Unread
from chiasm.data.sources.chance import chance

BYTES = 1 << 30  # of a file
KINDS = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
# what NumPy and the code below were seen to raise on damaged files
BROKEN = (ValueError, LookupError, EOFError, MemoryError, SyntaxError, TypeError, OverflowError, tokenize.TokenError)
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class CloudProcessor:
    """Turns clouds into `points` points: of more, some are drawn, by the same lots every time; fewer are repeated."""

    points: int = 8192

    @property
    def numbers(self) -> int:
        """Three a point."""
        return 3 * self.points

    def read(self, cloud: object, /, *, index: int = 0) -> Float[Tensor, "1 n 3"]:
        """One frame. What is wrong with a cloud is a `MediaError` that names `index`."""
        points = torch.from_numpy(decode(cloud, index=index).points)
        if len(points) > self.points:
            points = points[torch.tensor(chance("points", len(points)).sample(range(len(points)), self.points))]
        points = points[torch.arange(self.points) % len(points)]
        centred = points - points.mean(dim=0)
        farthest = centred.norm(dim=1).max()
        return (centred / farthest if farthest > 0 else centred)[None]


def decode(cloud: object, *, index: int = 0) -> Cloud:
    """All points as they are; whatever is wrong is a `MediaError` that names `index`."""
    match cloud:
        case Cloud():
            return _checked(cloud.points, index, "Cloud")
        case np.ndarray():
            return _checked(cloud, index, "array")
        case str() | Path():
            return _from_bytes(read_thing(cloud, index=index, most=BYTES, kind="cloud"), index, str(cloud))
        case bytes():
            return _from_bytes(cloud, index, "bytes")
        case Unread(where, reason):
            raise _error(index, where, reason)
        case _:
            raise _error(index, type(cloud).__name__, "is no path, bytes, array or Cloud")


def _from_bytes(data: bytes, index: int, path: str) -> Cloud:
    try:
        if data.startswith(b"\x93NUMPY"):
            return _checked(np.load(io.BytesIO(data), allow_pickle=False), index, path)
        if data.startswith(b"ply"):
            return _checked(_ply(data), index, path)
    except MediaError:
        raise
    except BROKEN as error:
        raise _error(index, path, f"cannot be decoded: {error}") from error
    raise _error(index, path, "is neither .npy nor .ply")


def _ply(data: bytes) -> NDArray[np.float64]:
    """The vertices of a PLY file; they have to come first, as they do in all that were seen."""
    head, found, body = data.partition(b"end_header")
    if not found:
        raise ValueError("its header has no end")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines()]
    order = ORDERS[" ".join(word for line in lines if line[:1] == ["format"] for word in line[1:2])]
    parts = [line for line in lines if line[:1] in (["element"], ["property"])]
    if parts[0][:2] != ["element", "vertex"]:
        raise ValueError("its first element is not 'vertex'")
    ends = next((i for i, line in enumerate(parts) if i and line[0] == "element"), len(parts))
    kinds, count = [(name, order + KINDS[kind]) for _, kind, name in parts[1:ends]], int(parts[0][2])
    rest = body[body.index(b"\n") + 1 :]
    if not order:
        rows = [line.split() for line in rest.decode("ascii", "replace").splitlines()[:count]]
        columns = [[name for name, _ in kinds].index(axis) for axis in "xyz"]
        table = np.array([[row[column] for column in columns] for row in rows], dtype=np.float64)
    else:
        vertices = np.frombuffer(rest, dtype=kinds, count=count)
        with np.errstate(invalid="ignore"):
            table = np.stack([vertices[axis].astype(np.float64) for axis in "xyz"], axis=1)
    if len(table) != count:
        raise ValueError(f"it has {len(table)} of {count} vertices")
    return table


def _checked(points: np.ndarray, index: int, path: str) -> Cloud:
    if points.ndim != 2 or points.shape[1] < 3 or not len(points) or points.dtype.kind not in "fiu":
        raise _error(index, path, f"is no table of x, y and z, but {points.dtype} of {points.shape}")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite
        places = np.ascontiguousarray(points[:, :3], dtype=np.float32)
    if not np.isfinite(places).all():
        raise _error(index, path, "has places that are no numbers")
    return Cloud(places)


def _error(index: int, path: str, reason: str) -> MediaError:
    return MediaError(index, path, reason, kind="cloud")
