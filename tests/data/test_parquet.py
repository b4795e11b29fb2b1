"""What goes into a parquet file comes out again; what others wrote is read; what is broken is named."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiasm.core.errors import MediaError
from chiasm.core.files import OutputError
from chiasm.core.types import Pixels
from chiasm.data import writers
from chiasm.data.images import ImageProcessor, decode
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import parquet
from chiasm.data.sources.parquet import ParquetSource
from chiasm.data.text import Tokenizer
from chiasm.data.writers import GROUP, write_parquet


def pixels(index: int) -> np.ndarray:
    return np.full((2, 3, 3), index % 256, np.uint8)


def made(count: int, start: int = 0) -> list[Pair]:
    return [Pair(f"p{i}", pixels(i), f"text {i}", {"n": i, "human": i % 2 == 0}) for i in range(start, start + count)]


def table(file: Path, /, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), file)
    return file


def test_round_trip(tmp_path: Path) -> None:
    pairs, path = made(2 * GROUP + 5), tmp_path / "deep" / "pairs.parquet"
    assert write_parquet(iter(pairs), path) == len(pairs)
    source = ParquetSource(path)
    assert isinstance(source, Source)
    assert len(source) == len(pairs)
    for index in np.random.default_rng(0).permutation(len(pairs)):
        found, pair = source[int(index)], pairs[index]
        assert (found.id, found.text, dict(found.tags)) == (pair.id, pair.text, dict(pair.tags))
        assert np.array_equal(decode(found.image), pair.image)
    assert pq.ParquetFile(path).num_row_groups == 3
    assert source.summary() == f"{len(pairs)} pairs in {path}"


def test_the_same_pairs_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_parquet(made(300), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pictures_keep_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"any bytes")
    path = tmp_path / "x.parquet"
    write_parquet([Pair("1", tmp_path / "a.jpg", "a"), Pair("2", b"others", "b")], path)
    assert [ParquetSource(path)[i].image for i in range(2)] == [b"any bytes", b"others"]
    assert pq.read_table(path)["image"].to_pylist()[0]["path"] == "a.jpg"


def test_few_groups_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "GROUP", 4)
    monkeypatch.setattr(parquet, "WINDOW", 4)
    write_parquet(made(40), tmp_path / "x.parquet")
    source = ParquetSource(tmp_path / "x.parquet")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: source[i].id, [*range(39, -1, -1), *range(0, 40, 3)]))
    assert found == [f"p{i}" for i in [*range(39, -1, -1), *range(0, 40, 3)]]
    assert len(source._groups) == 2


def test_a_folder_is_read_in_order_and_its_faults_are_named(tmp_path: Path) -> None:
    write_parquet(made(3), tmp_path / "a.parquet")
    write_parquet(made(3, start=2), tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-40])
    (tmp_path / "d.parquet").write_bytes(b"")
    table(tmp_path / "e.parquet", picture=[b"x"], text=["x"])
    table(tmp_path / "f.parquet", id=["f1", "f2", "f3"], image=[b"x"] * 3, text=["", None, "x"], tags=["{}", "{}", "["])
    source = ParquetSource(tmp_path)
    assert [source[i].id for i in range(len(source))] == ["p0", "p1", "p2", "p3", "p4"]
    reasons = {each.id: each.reason for each in source.skipped}
    assert reasons.pop("c.parquet").startswith("unreadable parquet: ")
    assert reasons.pop("d.parquet").startswith("unreadable parquet: ")
    assert reasons == {
        "p2": "duplicate id, the first is kept",
        "e.parquet": "no columns for picture and text, only picture, text",
        "f1": "no text",
        "f2": "no text",
        "f3": "tags are no JSON object",
    }
    assert "7 left out" in source.summary()


@pytest.mark.parametrize(
    "columns",
    [
        {"image": [{"bytes": b"one", "path": None}, {"bytes": None, "path": "two.png"}, None]},
        {"image": [{"bytes": b"one"}, None, None], "path": [None, "two.png", None]},
        {"image.bytes": [b"one", None, None], "path": ["else.png", "two.png", None]},
    ],
)
@pytest.mark.parametrize("words", ["text", "caption"])
def test_tables_of_others(tmp_path: Path, columns: dict[str, list[object]], words: str) -> None:
    path = table(tmp_path / "x.parquet", **columns, **{words: [" a ", "b", "c"]}, label=[0, 1, 2])
    source = ParquetSource(path)
    assert [source[i].image for i in range(3)] == [b"one", tmp_path / "two.png", b""]
    assert [source[i].text for i in range(3)] == ["a", "b", "c"]
    assert [source[i].id for i in range(3)] == ["x.parquet:0:0", "x.parquet:0:1", "x.parquet:0:2"]
    with pytest.raises(MediaError, match="0 bytes"):
        decode(source[2].image)


@pytest.mark.parametrize("kind", [b"bytes", "path.png"])
def test_plain_pictures(tmp_path: Path, kind: bytes | str) -> None:
    source = ParquetSource(table(tmp_path / "x.parquet", id=[3], image=[kind], text=["a"]))
    assert source[0] == Pair("3", kind if isinstance(kind, bytes) else tmp_path / kind, "a")


def test_nothing_usable(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing there; looked for columns image or .*, text or caption"):
        ParquetSource(tmp_path)
    with pytest.raises(ValueError, match=r"1 x no columns for picture and text, only label \(x\.parquet\)"):
        ParquetSource(table(tmp_path / "x.parquet", label=[1]))
    with pytest.raises(ValueError, match="unreadable parquet"):
        ParquetSource(tmp_path / "none.parquet")


def test_the_fingerprint_follows_the_pairs(tmp_path: Path) -> None:
    def print_of(pairs: list[Pair]) -> str:
        write_parquet(pairs, tmp_path / "x.parquet")
        return ParquetSource(tmp_path / "x.parquet").fingerprint

    pairs = made(4)
    assert print_of(pairs) == print_of(made(4))
    others = [
        pairs[:3],
        pairs[::-1],
        [*pairs[:3], Pair("p3", pairs[3].image, "other", pairs[3].tags)],
        [*pairs[:3], Pair("p3", pairs[3].image, "text 3", {"n": 4})],
        [*pairs[:3], Pair("p3", np.zeros((50, 50, 3), np.uint8), "text 3", pairs[3].tags)],
    ]
    assert len({print_of(pairs), *map(print_of, others)}) == 6


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "x.parquet"
    write_parquet(made(3), path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=rf"cannot write .*x\.parquet: {os.strerror(code)}"):
        write_parquet(made(9), path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    write_parquet(made(9), path)
    assert len(ParquetSource(path)) == 9
    assert [each.name for each in tmp_path.iterdir()] == ["x.parquet"]


def test_a_missing_picture_stops_the_writing(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"picture 1 \(.*gone\.png\): No such file"):
        write_parquet([*made(1), Pair("x", tmp_path / "gone.png", "x")], tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_tags_are_json(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet([Pair("1", b"x", "a", {"z": "é\ud800", "a": [1, None]})], path)
    assert dict(ParquetSource(path)[0].tags) == {"z": "é\ud800", "a": [1, None]}
    assert list(json.loads(pq.read_table(path)["tags"][0].as_py())) == ["a", "z"]


def test_a_page_that_is_broken_after_the_index_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of its group are named and passed over, and nobody unpacks the group once more for each of them."""
    monkeypatch.setattr(writers, "GROUP", 8)
    path = tmp_path / "x.parquet"
    write_parquet([Pair(f"p{i}", np.random.default_rng(i).bytes(500), f"text {i}") for i in range(24)], path)
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(1)
    assert "image" in chunk.path_in_schema
    start, length = chunk.dictionary_page_offset or chunk.data_page_offset, chunk.total_compressed_size
    data = bytearray(path.read_bytes())
    data[start + 60 : start + length] = bytes(length - 60)
    path.write_bytes(data)
    source, read = ParquetSource(path), ParquetSource._read
    asked: list[int] = []
    monkeypatch.setattr(ParquetSource, "_read", lambda self, *key: [asked.append(key[1]), read(self, *key)][1])
    assert (len(source), source.skipped) == (24, ())
    rows = [source[i] for i in range(24)]
    assert [row.id for row in rows[:8] + rows[16:]] == [f"p{i}" for i in (*range(8), *range(16, 24))]
    assert [row.id for row in rows[8:16]] == [f"x.parquet:1:{i}" for i in range(8)]
    assert asked == [0, 1, 2]
    with pytest.raises(MediaError, match=r"picture 0 \(.*x\.parquet\): unreadable parquet: "):
        decode(rows[8].image)
    with pytest.raises(MediaError, match="unreadable parquet"):
        write_parquet(rows, tmp_path / "y.parquet")


def test_training_passes_over_a_broken_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "GROUP", 8)
    write_parquet(made(24), tmp_path / "x.parquet")
    read = ParquetSource._read

    def broken(self: ParquetSource, number: int, group: int) -> list[dict[str, object]]:
        if group == 1:
            raise OSError("Corrupt snappy compressed data.")
        return read(self, number, group)

    monkeypatch.setattr(ParquetSource, "_read", broken)
    pixels_ = Pixels(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    loader = PairLoader(
        ParquetSource(tmp_path / "x.parquet"), ImageProcessor(pixels_), Tokenizer.builtin(), batch=8, seed=0
    )
    assert [len(next(loader).images) for _ in range(6)] == [8] * 6
    named = {each.id: each.reason for each in loader.skipped}
    assert named == {f"x.parquet:1:{i}": "unreadable parquet: Corrupt snappy compressed data." for i in range(8)}
