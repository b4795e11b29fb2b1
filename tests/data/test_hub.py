"""Folders of Hugging Face's libraries, laid out by hand with pyarrow, and tables of other people behind URLs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import open_source
from chiasm.data.sources.arrow import ArrowSource
from chiasm.data.sources.parquet import ParquetSource

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def rows(texts: list[Any], **columns: list[Any]) -> pa.Table:
    pictures = pa.array([{"bytes": f"bytes {i}".encode(), "path": f"{i}.jpg"} for i in range(len(texts))], IMAGE)
    return pa.table({"image": pictures, "caption": texts, **columns})


def saved(folder: Path, tables: Mapping[str, pa.Table]) -> Path:
    """What `Dataset.save_to_disk` leaves behind: streams of record batches, and which files there are."""
    folder.mkdir(parents=True)
    for name, table in tables.items():
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    facts = {"_data_files": [{"filename": name} for name in tables], "_fingerprint": "0", "_split": "train"}
    (folder / "state.json").write_text(json.dumps(facts))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"image": {"_type": "Image"}}}))
    return folder


def listed(source: Source) -> list[tuple[str, str]]:
    return [(source[i].id, source[i].text) for i in range(len(source))]


def test_save_to_disk(tmp_path: Path) -> None:
    one, two = rows(["a", "", "c"], human=[True, False, None]), rows([["d", "e"], None])
    where = saved(tmp_path / "set", {"data-00001-of-00002.arrow": one, "data-00000-of-00002.arrow": two})
    source = open_source(where)
    assert isinstance(source, ArrowSource)
    assert listed(source) == [
        ("data-00001-of-00002.arrow:0", "a"), ("data-00001-of-00002.arrow:2", "c"),
        ("data-00000-of-00002.arrow:0", "d"), ("data-00000-of-00002.arrow:0#2", "e"),
    ]  # fmt: skip
    assert source[0] == Pair("data-00001-of-00002.arrow:0", b"bytes 0", "a", {"human": True})
    assert source[1].image == b"bytes 2"
    assert [each.reason for each in source.skipped] == ["no text"] * 2
    assert list(open_source(f"file://{where}")) == list(source)
    assert list(open_source(where / "data-00001-of-00002.arrow")) == list(source)[:2]


def test_files_of_a_saved_set_that_are_missing_or_broken(tmp_path: Path) -> None:
    where = saved(tmp_path / "set", {f"data-{i}.arrow": rows(["a"]) for i in range(3)})
    (where / "data-0.arrow").unlink()
    whole = (where / "data-1.arrow").read_bytes()
    (where / "data-1.arrow").write_bytes(whole[: len(whole) // 2])
    source = open_source(where)
    assert listed(source) == [("data-2.arrow:0", "a")]
    assert [each.id for each in source.skipped] == ["data-0.arrow", "data-1.arrow"]
    assert all(each.reason.startswith("unreadable: ") for each in source.skipped)
    (where / "data-2.arrow").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no pairs in .*; looked for columns image"):
        open_source(where)
    (where / "state.json").write_text("[")
    with pytest.raises(ValueError, match="no pairs"):
        open_source(where)


def test_the_index_with_an_end(tmp_path: Path) -> None:
    """Feather files are the same, with an index behind."""
    table = rows(["a", "b"])
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert [each.text for each in open_source(tmp_path / "x.arrow")] == ["a", "b"]


def test_a_dictionary_of_splits(tmp_path: Path) -> None:
    for split, texts in (("train", ["a", "b"]), ("test", ["c"])):
        saved(tmp_path / split, {"data-00000-of-00001.arrow": rows(texts)})
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match=rf"has the splits test, train: name one, as in '{tmp_path}\?split=test'"):
        open_source(tmp_path)
    assert [each.text for each in open_source(f"{tmp_path}?split=train")] == ["a", "b"]
    assert [each.text for each in open_source(tmp_path / "test")] == ["c"]
    assert [each.text for each in open_source(f"file://{tmp_path}?split=test")] == ["c"]
    with pytest.raises(ValueError, match="has no split 'tset', only test, train"):
        open_source(f"{tmp_path}?split=tset")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test"]}')
    assert [each.text for each in open_source(tmp_path)] == ["c"]


@pytest.mark.parametrize("home", ["data", "."])
def test_a_data_set_of_the_hub(tmp_path: Path, home: str) -> None:
    folder = tmp_path / "a [b]" / home
    folder.mkdir(parents=True)
    for i in range(2):
        pq.write_table(rows([f"{i}", "x"], label=[1, 2]), folder / f"train-0000{i}-of-00002-ab12.parquet")
    source = open_source(tmp_path / "a [b]")
    assert isinstance(source, ParquetSource)
    assert [each.text for each in source] == ["0", "x", "1", "x"]
    assert source[1].tags == {"label": 2}
    assert [*source.shards] == [range(2), range(2, 4)]
    pq.write_table(rows(["t"]), folder / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="has the splits test, train: name one"):
        open_source(tmp_path / "a [b]")
    assert [each.text for each in open_source(f"{tmp_path}/a [b]?split=test")] == ["t"]


def test_an_image_folder(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.png").write_bytes(split.encode())
        (tmp_path / split / "metadata.csv").write_text(f"file_name,text\n1.png,{split}\n")
    with pytest.raises(ValueError, match="lists in its folders test, train"):
        open_source(tmp_path)
    assert listed(open_source(f"{tmp_path}?split=train")) == [("1.png", "train")]


def test_behind_a_url(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    pq.write_table(rows(["a", "b"]), tmp_path / "x.parquet")
    pq.write_table(pa.table({"image": ["deep/1.png", "gone.png"], "text": ["c", "d"]}), tmp_path / "y.parquet")
    for name in ("x.parquet", "y.parquet"):
        memory.pipe(f"/hub/{name}", (tmp_path / name).read_bytes())
    memory.pipe("/hub/deep/1.png", b"one")
    source = open_source("memory://hub")
    assert [(each.image, each.text) for each in source] == [
        (b"bytes 0", "a"), (b"bytes 1", "b"), (b"one", "c"), (b"", "d"),
    ]  # fmt: skip
    memory.pipe("/lists/pictures/1.png", b"one")
    memory.pipe("/lists/x.jsonl", b'{"image": "pictures/1.png", "text": "a"}\n{"image": "gone.png", "text": "b"}')
    assert [(each.image, each.text) for each in open_source("memory://lists/x.jsonl")] == [(b"one", "a"), (b"", "b")]
    coco = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": [{"image_id": 1, "id": 3, "caption": "c"}]}
    memory.pipe("/lists/annotations/captions_pictures.json", json.dumps(coco).encode())
    assert list(open_source("memory://lists/annotations/captions_pictures.json")) == [
        Pair("3", b"one", "c", {"image_id": 1})
    ]
    memory.pipe("/folder/1.png", b"one")
    memory.pipe("/folder/1.txt", b"a")
    memory.pipe("/folder/.hidden.png", b"")
    assert list(open_source("memory://folder")) == [Pair("1.png", b"one", "a")]
    first = open_source("memory://folder").fingerprint
    memory.pipe("/folder/1.png", b"another")
    assert open_source("memory://folder").fingerprint != first


def test_inside_an_archive(tmp_path: Path) -> None:
    import zipfile  # noqa: PLC0415 of this test alone

    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as file:
        for name, data in (("in/1.png", b"one"), ("in/captions.csv", b"image,text\n1.png,a\n"), ("in/x/2.png", b"two")):
            file.writestr(name, data)
    source = open_source(f"zip://in::{tmp_path}/shop.zip")
    assert list(source) == [Pair("1.png", b"one", "a")]
    assert [each.id for each in source.skipped] == ["x/2.png"]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("memory://nowhere/x.csv", r"memory://nowhere/x\.csv does not exist; a source is a folder"),
        ("nothing://x", "nothing://x cannot be opened: Protocol not known: nothing"),
        ("adl://x/y", "adl://x/y: its protocol needs another package"),
        ("nowhere/*.tar", r"nothing is called nowhere/\*\.tar"),
        ("nowhere/{1..3}.jpg", r"is \.jpg, but a pattern is for \.tar or \.parquet files alone"),
        ("nowhere?split=train", "nowhere is no folder, so it has no split 'train'"),
    ],
)
def test_what_is_not_there(where: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_source(where)
