"""Folders and lists as people have them: what is right is read, what is wrong is named."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from chiasm.data.formats import READ
from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.data.sources.files import FolderSource, JsonlSource, Skipped, summary
from chiasm.data.sources.hub import PICTURES
from chiasm.data.sources.parquet import ParquetSource
from chiasm.data.sources.world import WorldPairs, single
from chiasm.data.writers import write_parquet


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), "red").save(path)


def listed(source: FolderSource | JsonlSource) -> list[tuple[str, str]]:
    return [(source[i].id, source[i].text) for i in range(len(source))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything right and everything wrong."""
    for name in ("b.png", "a.jpg", "deep/c.JPEG", "lonely.png", "empty.png", "latin.png", "wrong.png", "list.png"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_text("  a red dress\n")
    (tmp_path / "b.json").write_text('{"caption": "a cup", "human": true}')
    (tmp_path / "deep/c.txt").write_bytes(b"\xef\xbb\xbf" + "eine Tür".encode())
    (tmp_path / "orphan.txt").write_text("nothing to see")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes("Tür".encode("latin-1"))
    (tmp_path / "wrong.json").write_text('{"text": ')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.md").write_text("mine")
    return tmp_path


def test_a_folder(folder: Path) -> None:
    source = FolderSource(folder)
    assert listed(source) == [("a.jpg", "a red dress"), ("b.png", "a cup"), ("deep/c.JPEG", "eine Tür")]
    assert source[1].tags == {"human": True}
    assert source[2].image == folder / "deep/c.JPEG"
    assert {each.id: each.reason for each in source.skipped} == {
        "lonely.png": "a picture without a text",
        "empty.png": "no text",
        "latin.png": "not UTF-8",
        "wrong.png": "broken JSON",
        "list.png": "JSON, but no object",
        "orphan.txt": "a text without a picture",
    }
    assert source.summary().startswith(f"3 pairs in {folder}, 6 left out: ")
    assert isinstance(source, Source)


LINES = [
    '{"image": "a.png", "text": "one"}',
    '{"file_name": "./a.png", "caption": "two", "split": "train"}',
    '{"image": "a.png", "text": "three"}',
    "",
    '{"image": "b.png", "text": "four", "id": 7, "tags": [1]}',
    '{"image": "b.png", "text": "five", "id": "7"}',
    '{"image": "gone.png", "text": "six"}',
    '{"image": "c.png", "text": ""}',
    '{"image": "c.png", "text": 5}',
    '{"text": "seven"}',
    "{broken",
    '"text"',
    "[" * 100_000,
    '{"image": "a\\u0000.png", "text": "eight"}',
    '{"image": "' + "x" * 300 + '.png", "text": "nine"}',
    '{"image": "b.png", "text": "\\ud800 ten"}',
]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(LINES))
    return path


def test_a_list(lines: Path) -> None:
    source = JsonlSource(lines)
    assert listed(source) == [
        ("a.png", "one"), ("./a.png", "two"), ("a.png#2", "three"), ("7", "four"), ("b.png", "? ten"),
    ]  # fmt: skip
    assert source[1].tags == {"split": "train"}
    assert source[3].tags == {"tags": [1]}
    assert [(each.id, each.reason) for each in source.skipped] == [
        ("7", "duplicate id, the first is kept"),
        ("captions.jsonl:7", "the picture's file is missing"),
        ("captions.jsonl:8", "no text"),
        ("captions.jsonl:9", "no text"),
        ("captions.jsonl:10", "no picture named"),
        ("captions.jsonl:11", "broken JSON"),
        ("captions.jsonl:12", "JSON, but no object"),
        ("captions.jsonl:13", "broken JSON"),
        ("captions.jsonl:14", "the picture's file is missing"),
        ("captions.jsonl:15", "File name too long"),
    ]


def test_a_list_within_a_folder(lines: Path) -> None:
    picture(lines.parent / "extra.png")
    source = FolderSource(lines.parent)
    assert listed(source) == listed(JsonlSource(lines))
    assert source.skipped[-1] == Skipped("extra.png", "a picture without a line in captions.jsonl")
    assert len(source.skipped) == len(JsonlSource(lines).skipped) + 1
    lines.rename(lines.with_name("metadata.jsonl"))
    assert listed(FolderSource(lines.parent)) == listed(source)


def test_summaries_are_short() -> None:
    skipped = [Skipped(f"{i}.png", "no text") for i in range(9)] + [Skipped("x", "broken JSON")]
    assert summary(skipped) == "9 x no text (0.png, 1.png, 2.png, ...); 1 x broken JSON (x)"
    assert summary([]) == ""


def test_the_fingerprint_follows_the_pairs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = FolderSource(folder).fingerprint
    copy = tmp_path_factory.mktemp("copy") / "folder"
    shutil.copytree(folder, copy)
    assert FolderSource(copy).fingerprint == first
    seen = {first}
    for change in (
        lambda: (copy / "a.txt").write_text("another"),
        lambda: (copy / "b.json").write_text('{"caption": "a cup", "human": false}'),
        lambda: Image.new("RGB", (9, 9)).save(copy / "a.jpg"),
        lambda: (copy / "lonely.txt").write_text("found"),
        (copy / "a.txt").unlink,
    ):
        change()
        seen.add(FolderSource(copy).fingerprint)
    assert len(seen) == 6


def test_nothing_usable_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no pairs in .*: nothing there; looked for pictures \(.*\.png.*captions.jsonl"
    ):
        FolderSource(tmp_path)
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"1 x a picture without a text \(a\.png\)"):
        FolderSource(tmp_path)
    path = tmp_path / "x.jsonl"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r'1 x no picture named \(x\.jsonl:1\); looked for lines such as \{"image"'):
        JsonlSource(path)
    with pytest.raises(ValueError, match="does not exist"):
        JsonlSource(tmp_path / "none.jsonl")


def test_open_source(folder: Path, lines: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert isinstance(open_source(lines), JsonlSource)
    assert isinstance(open_source(str(folder)), FolderSource)
    other = tmp_path_factory.mktemp("tables")
    world = open_source("world:single?count=3&seed=1")
    assert isinstance(world, WorldPairs)
    write_parquet([world[0]], other / "a.parquet")
    assert isinstance(open_source(other / "a.parquet"), ParquetSource)
    assert isinstance(open_source(other), ParquetSource)


def test_a_path_that_exists_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "world/a.png")
    (tmp_path / "world/a.txt").write_text("mine")
    source = open_source("world")
    assert isinstance(source, FolderSource)
    assert json.dumps(source.summary())


@pytest.mark.parametrize("where", ["nowhere", "wrld:single", "worlds", "pairs.csv", ""])
def test_what_is_no_source(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text("a,b")
    with pytest.raises(ValueError, match=r"(a source is|looked for) .*") as told:
        open_source(where)
    assert "\n" not in str(told.value)


def test_every_format_that_is_read_is_a_picture_by_its_name() -> None:
    Image.init()
    known = {ending for ending, kind in Image.registered_extensions().items() if kind in READ}
    assert known - {".pfm"} == PICTURES  # whose pixels are fractions, which nobody can show


@pytest.mark.parametrize("stray", ["vectors.parquet", "deep/old.tar.gz", "old.tgz", "set.arrow"])
def test_a_stray_table_among_pictures_is_named_and_no_more(folder: Path, stray: str) -> None:
    before = open_source(folder)
    (folder / stray).write_bytes(b"")
    (folder / f"{stray}.run.json").write_text("{}")
    picture(folder / "x.tar.png")
    (folder / "x.tar.txt").write_text("an x")
    source = open_source(folder)
    assert isinstance(source, FolderSource)
    assert listed(source) == [*listed(before), ("x.tar.png", "an x")]
    assert {*source.skipped} - {*before.skipped} == {Skipped(stray, "no picture, but many pairs: mix it in")}


def test_tables_of_two_kinds_are_not_chosen_from(tmp_path: Path) -> None:
    write_parquet(WorldPairs(single(), count=2), tmp_path / "a.parquet")
    picture(tmp_path / "x.parquet.png")
    assert isinstance(open_source(tmp_path), ParquetSource)
    (tmp_path / "b.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds \.parquet and \.tar files: say which, as in '.*/\*\.tar'"):
        open_source(tmp_path)
    assert len(open_source(f"{tmp_path}/*.parquet")) == 2


@pytest.mark.parametrize("at", ["photos/captions.csv", "photos/captions.jsonl", "captions.csv", "photos/deep/said.csv"])
def test_our_own_captions_are_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    for name in ("photos/a.png", "photos/deep/b.png", "a.png"):
        picture(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names = ["photos/a.png", "photos/deep/b.png", str(tmp_path / "a.png"), "photos/gone.png"]
    rows = [{"picture": name, "caption": f"no {i}", "logprob": -1.5, "error": None} for i, name in enumerate(names)]
    table = tmp_path / at
    if at.endswith(".csv"):
        lines = [f"{row['picture']},{row['caption']},{row['logprob']}," for row in rows]
        table.write_text("\n".join(["picture,caption,logprob,error", *lines]))
    else:
        table.write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir("/")
    source = open_source(table if "deep" in at or "/" not in at else table.parent)
    assert [(os.path.normpath(str(source[i].image)), source[i].text) for i in range(len(source))] == [
        (str(tmp_path / name), f"no {i}") for i, name in enumerate(names[:3])
    ]
    assert source[0].tags["logprob"] == -1.5
    assert [each.reason for each in source.skipped] == ["the picture's file is missing"]
