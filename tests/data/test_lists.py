"""Tables and COCO's files as people have them: what is right is read, what is wrong is named."""

import json
from pathlib import Path
from posixpath import normpath
from typing import Any

import pytest
from PIL import Image

from chiasm.data.pairs import Source
from chiasm.data.sources import open_source
from chiasm.data.sources.coco import CocoSource
from chiasm.data.sources.files import FolderSource, TableSource


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), "red").save(path)


def listed(source: Source) -> list[tuple[str, str]]:
    return [(source[i].id, source[i].text) for i in range(len(source))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "deep/c d.png"):
        picture(tmp_path / name)
    return tmp_path


TABLE = (
    b"\xef\xbb\xbfid,Filepath,title,human,size,note\r\n"
    b'007,a.png,"red, with ""lace""",true,40,\r\n'  # quotes, a comma, an empty cell
    b',b.png,"two\nlines",FALSE,0.5,x\r\n'
    b",b.png,again,0,NaN,y\r\n"
    b"\r\n"
    b"8,a.png,too few\r\n"
    b"9,a.png,a,b,c,d,e,f\r\n"
    b"007,a.png,same id,,,\r\n"
    b"10,gone.png,lost,,,\r\n"
    b"11,a.png, ,,,\r\n"
    b"12,,no picture,,,\r\n"
    b"13,a.png,T\xfcr,,,\r\n"
    b'14,a.png,"odd"quotes,,,\r\n'
    b",deep/c d.png,last,,,\r\n"
)


def test_a_table(folder: Path) -> None:
    path = folder / "list.csv"
    path.write_bytes(TABLE)
    source = open_source(path)
    assert isinstance(source, TableSource)
    assert listed(source) == [
        ("007", 'red, with "lace"'), ("b.png", "two\nlines"), ("b.png#2", "again"), ("deep/c d.png", "last"),
    ]  # fmt: skip
    assert source[0].tags == {"human": True, "size": 40}
    assert source[1].tags == {"human": False, "size": 0.5, "note": "x"}
    assert source[2].tags == {"human": 0, "size": "NaN", "note": "y"}
    assert source[0].image == folder / "a.png"
    assert [(each.id, each.reason) for each in source.skipped] == [
        ("list.csv:7", "3 cells, but 6 columns"),
        ("list.csv:8", "8 cells, but 6 columns"),
        ("007", "duplicate id, the first is kept"),
        ("list.csv:10", "the picture's file is missing"),
        ("list.csv:11", "no text"),
        ("list.csv:12", "no picture named"),
        ("list.csv:13", "not UTF-8"),
        ("list.csv:14", "broken row: ',' expected after '\"'"),
    ]


@pytest.mark.parametrize(("mark", "kind"), [(",", "csv"), (";", "csv"), ("\t", "tsv"), ("\t", "csv"), ("|", "csv")])
def test_any_mark_between_cells(folder: Path, mark: str, kind: str) -> None:
    path = folder / f"list.{kind}"
    path.write_text(f'caption{mark}image\n"one, two; three"{mark}a.png\nfour{mark}b.png\n')
    assert listed(open_source(path)) == [("a.png", "one, two; three"), ("b.png", "four")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the first line names no column image or"),
        (b"a.png,a red dress\n", "the first line names no column image or"),
        (b"image,words\na.png,x\n", "or none text or caption"),
        (b'image,text\n"a.png,never closed\nb.png,x\n', "broken row: unexpected end of data"),
        (b"image,text\na.png," + b"x" * 200_000, "broken row: field larger"),
        (b"\xff\xfei\0m\0", "the first line names no column"),
    ],
)
def test_tables_that_are_none(folder: Path, content: bytes, told: str) -> None:
    path = folder / "list.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"no pairs in .*list\.csv: .*{told}.*; looked for a first line such as"):
        open_source(path)


def test_a_table_within_a_folder(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\n./a.png,one\n")
    source = open_source(folder)
    assert isinstance(source, FolderSource)
    assert listed(source) == [("./a.png", "one")]
    assert [each.id for each in source.skipped] == ["b.png", "deep/c d.png"]
    (folder / "deep/metadata.csv").write_bytes((folder / "metadata.csv").read_bytes())
    (folder / "metadata.csv").unlink()
    with pytest.raises(ValueError, match="has lists in its folders deep: open one"):
        open_source(folder)


def coco(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


COCO = {
    "images": [
        {"id": 1, "file_name": "a.png"},
        {"id": 2, "file_name": "b.png", "width": 2},
        {"id": 3, "file_name": "no"},
    ],
    "annotations": [
        {"id": 10, "image_id": 1, "caption": "one"},
        {"id": 11, "image_id": 2, "caption": "two "},
        {"id": 12, "image_id": 1, "caption": "three"},
        {"id": 13, "image_id": 9, "caption": "whose"},
        {"id": 14, "image_id": 1, "bbox": [0, 0, 1, 1]},
        {"id": 15, "image_id": 2, "caption": ""},
        "none",
        {"id": 16, "image_id": [], "caption": "list"},
    ],
}


@pytest.mark.parametrize("home", [".", "images", "val2017", "../val2017", "../images/val2017", ".."])
def test_coco(tmp_path: Path, home: str) -> None:
    path = coco(tmp_path / "annotations/captions_val2017.json", COCO)
    for name in ("a.png", "b.png"):
        picture(path.parent / home / name)
    source = open_source(path)
    assert isinstance(source, CocoSource)
    assert listed(source) == [("10", "one"), ("11", "two"), ("12", "three")]
    assert [each.tags for each in source] == [{"image_id": 1}, {"image_id": 2}, {"image_id": 1}]
    assert source[0].image == source[2].image == Path(normpath(path.parent / home)) / "a.png"
    assert {each.id: each.reason for each in source.skipped} == {
        "captions_val2017.json:annotations[3]": "an annotation of no known picture",
        "captions_val2017.json:annotations[4]": "an annotation without a caption",
        "captions_val2017.json:annotations[5]": "no text",
        "captions_val2017.json:annotations[6]": "an annotation without a caption",
        "captions_val2017.json:annotations[7]": "an annotation of no known picture",
        "captions_val2017.json:images[3]": "a picture without a caption",
    }


def test_coco_without_its_pictures(tmp_path: Path) -> None:
    path = coco(tmp_path / "annotations/captions_val2017.json", COCO)
    with pytest.raises(ValueError, match=r"were not found: 'a\.png' and the next 1 are in none of .*/val2017; put"):
        open_source(path)


def test_the_forms_of_karpathy_and_blip(folder: Path) -> None:
    sentences = [{"raw": "one", "sentid": 0}, {"raw": "two"}, {}]
    path = coco(folder / "dataset_coco.json", {
        "images": [
            {"filepath": "deep", "filename": "c d.png", "sentences": sentences, "split": "val", "cocoid": 5},
            {"filename": "a.png", "sentences": [{"raw": "three"}]}, {"filename": "b.png"}, 7,
        ]
    })  # fmt: skip
    source = open_source(path)
    assert listed(source) == [("deep/c d.png", "one"), ("deep/c d.png#2", "two"), ("a.png", "three")]
    assert source[1].tags == {"split": "val", "cocoid": 5}
    assert [each.reason for each in source.skipped] == ["no filename, or no sentences"] * 2
    path = coco(folder / "karpathy_train.json", [
        {"image": "a.png", "caption": ["one", "two"], "image_id": "x"}, {"image": "b.png", "caption": "three"},
        {"image": "b.png", "caption": "four"}, {"image": "b.png"}, [],
    ])  # fmt: skip
    source = open_source(path)
    assert listed(source) == [("a.png", "one"), ("a.png#2", "two"), ("b.png", "three"), ("b.png#2", "four")]
    assert [(each.id, each.reason) for each in source.skipped] == [
        ("karpathy_train.json:[3]", "no text"), ("karpathy_train.json:[4]", "no object"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["{", "3", '{"a": 1}', "[]", '{"images": {}, "annotations": []}'])
def test_json_that_is_something_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r'x\.json: .*; looked for an object with "images"'):
        open_source(tmp_path / "x.json")


def test_several_texts_in_a_line(folder: Path) -> None:
    lines = [
        '{"image": "a.png", "captions": ["one", "", "two"]}',
        '{"image": "b.png", "id": "x", "caption": ["three", "four"]}',
    ]
    (folder / "x.jsonl").write_text("\n".join(lines))
    assert listed(open_source(folder / "x.jsonl")) == [
        ("a.png", "one"),
        ("a.png#2", "two"),
        ("x", "three"),
        ("x#2", "four"),
    ]
