"""What a network does to those who read from it: what breaks off is read on, what stays away is named."""

import functools
import gzip
import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from chiasm.core.types import Pixels
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source, Unread
from chiasm.data.sources import open_source, patience
from chiasm.data.sources.patience import Patient, UnreachableError, patiently
from chiasm.data.text import Tokenizer
from chiasm.data.writers import write_parquet, write_tar

KINDS = ("x.tar", "x.tar.gz", "x.parquet", "x.jsonl")
COUNT = 40
SMALL = ImageProcessor(Pixels(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))


class LostError(Exception):
    """As aiohttp has them: no OSError."""


class Flaky(LocalFileSystem):
    """Files of this machine behind a connection that breaks off before every `every`-th read; 0 never, 1 always."""

    protocol = ("flaky",)
    every: ClassVar[int] = 0
    reads: ClassVar[int] = 0

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        del mode
        return Thread(Path(path).read_bytes())

    def cat_file(self, path: str, **_: Any) -> bytes:
        return Thread(Path(path).read_bytes()).read()


class Thread(io.BytesIO):
    """A file whose connection, once broken, stays so."""

    broken = False

    def read(self, size: int | None = -1, /) -> bytes:
        Flaky.reads += 1
        self.broken = self.broken or bool(Flaky.every and Flaky.reads % Flaky.every == 0)
        if self.broken:
            raise LostError("payload is not completed")
        return super().read(size)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(Flaky, "every", 0)
    monkeypatch.setattr(Flaky, "reads", 0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pairs in several forms."""
    folder, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(0)
    pairs = [Pair(f"{i}.png", rng.integers(0, 255, (30, 30, 3), np.uint8), f"text {i}") for i in range(COUNT)]
    write_tar(pairs, folder / "x.tar")
    write_parquet(pairs, folder / "x.parquet")
    (folder / "x.tar.gz").write_bytes(gzip.compress((folder / "x.tar").read_bytes()))
    lines: list[str] = []
    for pair in open_source(folder / "x.tar"):
        (folder / pair.id).write_bytes(pair.image if isinstance(pair.image, bytes) else b"")
        lines.append(json.dumps({"image": pair.id, "text": pair.text}))
    (folder / "x.jsonl").write_text("\n".join(lines))
    return folder


def known(source: Source) -> list[tuple[str, object, str]]:
    return [(pair.id, pair.image, pair.text) for pair in source]


def truth(shop: Path) -> list[tuple[str, object, str]]:
    return known(open_source(shop / "x.parquet"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_breaks_off_changes_nothing(shop: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flaky, "every", 2)
    source = open_source(f"flaky://{shop}/{kind}")
    assert known(source) == truth(shop)
    assert source.skipped == ()
    assert Flaky.reads > 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_is_gone_names_the_rows(shop: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(f"flaky://{shop}/{kind}")
    monkeypatch.setattr(Flaky, "every", 1)
    lost = [source[row] for row in range(COUNT)]
    assert len({pair.id for pair in lost}) == COUNT
    for pair in lost:
        assert isinstance(pair.image, Unread)
        assert "cannot be read, after 4 tries: payload is not completed" in pair.image.reason
    monkeypatch.setattr(Flaky, "every", 0)
    if kind != "x.parquet":  # a table's groups may be large, and are not asked for again
        assert known(source) == truth(shop)


def test_a_table_of_places(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0.png").write_bytes((shop / "0.png").read_bytes())
    pq.write_table(pa.table({"path": ["0.png"], "text": ["text 0"]}), tmp_path / "x.parquet")
    source = open_source(f"flaky://{tmp_path}/x.parquet")
    assert source[0].image == truth(shop)[0][1]
    monkeypatch.setattr(Flaky, "every", 1)
    assert isinstance(source[0].image, Unread)
    assert source[0].text == "text 0"


def test_training_goes_on_without_what_is_gone(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mixture of what is here and what is far away."""
    pairs = [Pair(f"here-{i}", np.full((8, 8, 3), i, np.uint8), f"words {i}") for i in range(COUNT)]
    write_parquet(pairs, tmp_path / "here.parquet")
    source = open_source(f"mix:1*{tmp_path}/here.parquet + 1*flaky://{shop}/x.tar")
    monkeypatch.setattr(Flaky, "every", 1)
    loader = PairLoader(source, SMALL, Tokenizer.builtin(), batch=10, seed=0)
    batches = list(islice(loader, 3))
    assert [len(batch.images) for batch in batches] == [10, 10, 10]
    assert loader.skipped
    assert all("after 4 tries" in each.reason and each.id.startswith("x:") for each in loader.skipped)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_what_is_gone_at_the_start_is_named_too(shop: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flaky, "every", 1)
    with pytest.raises(ValueError, match=rf"no pairs in .*{kind} cannot be read, after 4 tries: payload"):
        open_source(f"flaky://{shop}/{kind}")


def test_a_listing_that_tells_no_sizes(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_bytes((shop / "x.tar").read_bytes())
    plain = Flaky.info
    monkeypatch.setattr(Flaky, "info", lambda self, path, **how: plain(self, path, **how) | {"size": None})
    assert known(open_source(f"flaky://{tmp_path}")) == truth(shop)


def test_what_waiting_cannot_mend_is_not_tried_again() -> None:
    for error, tries in ((FileNotFoundError("x"), 1), (ValueError("x"), 1), (LostError("x"), 4), (OSError("x"), 4)):
        asked: list[int] = []

        def fails(error: Exception = error, asked: list[int] = asked) -> None:
            asked.append(1)
            raise error

        with pytest.raises(UnreachableError if tries > 1 else type(error)):
            patiently(fails, "there")
        assert len(asked) == tries


@pytest.mark.parametrize("jumps", [True, False])
def test_a_patient_file_is_a_file(jumps: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 a parameter
    """Random reads and jumps, against one in memory."""
    monkeypatch.setattr(Flaky, "every", 3)
    data, rng = np.random.default_rng(1).bytes(5000), np.random.default_rng(2)

    def opened() -> Any:
        return Thread(data) if jumps else Ahead(data)

    oracle, file = io.BytesIO(data), io.BufferedReader(Patient(opened, "there"), 64)
    for _ in range(200):
        place, whence, size = int(rng.integers(0, 5100)), int(rng.integers(0, 3)), int(rng.integers(0, 300))
        place = {0: place, 1: 0, 2: -min(place, 5000)}[whence]
        if jumps or whence < 2:
            assert file.seek(place, whence) == oracle.seek(place, whence)
        assert file.read(size) == oracle.read(size)
        assert file.tell() == oracle.tell()


class Ahead(Thread):
    """A server that gives a file from front to back only."""

    def seek(self, place: int, whence: int = 0, /) -> int:
        if whence or place != self.tell():
            raise ValueError("cannot seek")
        return place


class Web(SimpleHTTPRequestHandler):
    """Gives parts of files, and breaks off in the middle of some."""

    protocol_version = "HTTP/1.1"
    cuts: ClassVar[list[int]] = []  # bytes of the next answers, where fewer than asked for

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            super().do_GET()
            return
        data = path.read_bytes()
        asked = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", f"bytes=0-{len(data)}"))
        assert asked is not None
        body = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {asked[1]}-{int(asked[1]) + len(body) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.cuts.pop(0) if self.cuts else len(body)
        self.wfile.write(body[:cut])
        if cut < len(body):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 its name


@pytest.fixture(scope="module")
def web(shop: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Web, directory=str(shop)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_over_http(shop: Path, web: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Web, "cuts", [100, 10_000, 1])
    source = open_source(f"{web}/{kind}")
    assert known(source) == truth(shop)
    assert Web.cuts == []


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(text: str) -> Callable[..., Any]:
        def fail(_: str) -> Any:
            raise ImportError(text)

        return fail

    monkeypatch.setattr("fsspec.core.url_to_fs", missing('HTTPFileSystem requires "requests" and "aiohttp"'))
    with pytest.raises(ValueError, match=r"its protocol needs another package: pip install 'chiasm\[remote\]'$"):
        open_source("https://127.0.0.1/x.tar")
    monkeypatch.setattr("fsspec.core.url_to_fs", missing("Install s3fs to access S3"))
    with pytest.raises(ValueError, match=r"s3://shop/x.tar: its protocol needs another package: Install s3fs"):
        open_source("s3://shop/x.tar")
