"""A folder in which everything that can be wrong was planted: all of it is found, counted and shown."""

import json
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chiasm.data.pairs import Pair
from chiasm.data.quality import look
from chiasm.data.sources import open_source
from chiasm.inspection import inspect as inspection
from chiasm.inspection.findings import Copies, Findings
from chiasm.inspection.inspect import Inspection, inspect
from chiasm.inspection.points import points


def silence(_done: int, _total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def made(mess: Path) -> Inspection:
    return inspect(open_source(mess), "mess", progress=silence)


class Listed:
    """Pairs in memory."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self.fingerprint = "pairs"

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        return self.pairs[index]


def plain(*pictures: np.ndarray, text: str = "a dog on the beach") -> Listed:
    return Listed([Pair(str(i), picture, text) for i, picture in enumerate(pictures)])


def test_what_is_broken_is_counted_by_reason_and_named(made: Inspection) -> None:
    found = made.findings
    assert (found.pairs, found.inspected) == (28, 28)
    assert {reason: one.count for reason, one in found.left_out.items()} == {
        "a picture without a text": 1,
        "a text without a picture": 1,
        "no text": 1,
        "not UTF-8": 1,
    }
    assert sum(one.count for one in found.broken.values()) == 6
    assert found.broken["is empty (0 bytes)"].examples == ("empty.png",)
    assert found.broken["is not a picture of any known format"].examples == ("words.png",)
    assert [one.examples for reason, one in found.broken.items() if "web page" in reason] == [("page.jpg",)]
    assert [one.examples for one in found.broken.values() if one.count == 3] == [("cut0.png", "cut1.png", "cut2.png")]


def test_pictures_are_measured(made: Inspection) -> None:
    pictures = made.findings.pictures
    assert pictures is not None
    assert pictures.files == 22
    assert pictures.formats == {"PNG": 16, "JPEG": 4, "BMP": 1, "WebP": 1}
    assert (pictures.small, pictures.soft, pictures.long) == (1, 2, 1)  # the tiny one is soft, too, once enlarged
    assert [pictures.spreads["width"].low, pictures.spreads["width"].high] == [24, 400]
    assert pictures.spreads["aspect"].high == 5
    assert all(sum(spread.histogram.counts) == 22 for spread in pictures.spreads.values())


def test_planted_copies_are_found(made: Inspection) -> None:
    pictures = made.findings.pictures
    assert pictures is not None
    assert pictures.equal == Copies(groups=2, members=6, spare=4)  # four of the first, two of the second
    assert pictures.near == Copies(groups=6, members=16, spare=10)


def test_texts_are_measured(made: Inspection) -> None:
    texts = made.findings.texts
    assert (texts.empty, texts.names, texts.short, texts.cut) == (2, 1, 3, 1)
    assert texts.equal == Copies(groups=1, members=3, spare=2)
    assert texts.languages["de"] == 3
    assert texts.languages["en"] >= 18
    assert (texts.words.low, texts.words.high) == (1, 60)
    assert sum(texts.words.histogram.counts) == sum(texts.letters.histogram.counts) == 28


def test_tags_are_counted(made: Inspection) -> None:
    assert made.findings.tags == {
        "human": {"True": 1},
        "noise": {"advert": 1},
        "shop": {"(an object)": 1},
        "words": {"(a list)": 1},
    }


def test_the_points_are_the_findings(made: Inspection) -> None:
    told = {point.name: (point.count, point.of) for point in points(made.findings)}
    assert told["pictures that cannot be read"] == (6, 28)
    assert told["pairs that the source leaves out"] == (4, 32)
    assert told["pictures that equal or resemble an earlier one"] == (10, 22)
    assert all(0 < count <= of for count, of in told.values())


def test_the_page_shows_all_of_it_and_runs_nothing(made: Inspection, tmp_path: Path) -> None:
    made.write(tmp_path / "page.html")
    markup = (tmp_path / "page.html").read_text()
    for told in (
        "is empty (0 bytes)",
        "cut0.png",
        "no picture.txt",
        "5 pictures alike",
        "The softest",
        "der Hund",
        "BMP",
    ):
        assert told in markup
    assert "<script" not in markup
    assert "&lt;script&gt;" in markup
    assert not re.search(r"(src|href)=\"(?!data:|#)", markup)
    assert [*tmp_path.iterdir()] == [tmp_path / "page.html"]


def test_the_same_pairs_give_the_same_bytes(mess: Path, made: Inspection, tmp_path: Path) -> None:
    again = inspect(open_source(mess), "mess", threads=1 if os.cpu_count() != 1 else 3, progress=silence)
    assert json.dumps(asdict(again.findings)) == json.dumps(asdict(made.findings))
    made.write(tmp_path / "one.html")
    again.write(tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    again.write(tmp_path / "other.html", seed=1)
    assert (tmp_path / "one.html").read_bytes() != (tmp_path / "other.html").read_bytes()


def test_rows_are_those_of_a_plain_loop() -> None:
    source = open_source("world:pair?count=40&noise=0.5")
    rows = inspect(source, "world", threads=3, progress=silence).seen.rows
    for i, row in enumerate(rows):
        pair = source[i]
        seen = look(np.asarray(pair.image))
        assert (row["index"], row["hash"], row["width"], row["height"]) == (i, seen.hash, seen.width, seen.height)
        assert (row["blur"], row["letters"]) == (np.float32(seen.blur), len(pair.text))


def test_a_sample_is_drawn_by_the_seed(tmp_path: Path) -> None:
    source = open_source("world:single?count=60")
    drawn = [inspect(source, "world", sample=20, seed=seed, progress=silence) for seed in (0, 0, 1)]
    places = [made.seen.rows["index"].tolist() for made in drawn]
    assert places[0] == places[1] == sorted({*places[0]})
    assert places[0] != places[2]
    assert (drawn[0].findings.pairs, drawn[0].findings.inspected) == (60, 20)
    drawn[0].write(tmp_path / "page.html")
    assert "of which 20 were drawn at random" in (tmp_path / "page.html").read_text()
    assert inspect(source, "world", sample=61, progress=silence).findings.inspected == 60


def test_several_texts_of_a_picture_are_no_copies(mess: Path, tmp_path: Path) -> None:
    lines = [{"image": str(mess / f"good{i % 4}.png"), "text": f"text {i}"} for i in range(12)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pictures = inspect(open_source(tmp_path / "pairs.jsonl"), "pairs", progress=silence).findings.pictures
    assert pictures is not None
    assert (pictures.files, pictures.equal, pictures.near) == (4, Copies(0, 0, 0), Copies(0, 0, 0))


def test_nothing_readable_is_told_not_raised(tmp_path: Path) -> None:
    made = inspect(Listed([Pair("a", b"", "one"), Pair("b", b"x", "")]), "pairs", progress=silence)
    assert made.findings.pictures is None
    made.write(tmp_path / "page.html")
    assert "No picture can be read." in (tmp_path / "page.html").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name can be any bytes")
def test_names_that_no_encoding_holds(tmp_path: Path) -> None:
    shop = tmp_path / os.fsdecode(b"shop\xe9")
    shop.mkdir()
    for name in (b"a\xff", b"b\xff"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(shop / f"{os.fsdecode(name)}.png")
        (shop / f"{os.fsdecode(name)}.json").write_text(json.dumps({"text": "a", "shop": "\ud800"}))
    (shop / os.fsdecode(b"c\xff.txt")).write_text("a text without a picture")
    made = inspect(open_source(shop), str(shop), progress=silence)
    assert (made.findings.pairs, len(made.findings.left_out)) == (2, 1)
    made.write(tmp_path / "page.html")
    assert "a text without a picture" in (tmp_path / "page.html").read_text()


def test_clean_pairs_have_no_points() -> None:
    rng = np.random.default_rng(0)
    source = plain(rng.integers(0, 256, (80, 80, 3), dtype=np.uint8))
    assert points(inspect(source, "pairs", progress=silence).findings) == []


def test_plain_pictures_are_one_group(tmp_path: Path) -> None:
    made = inspect(plain(*(np.full((80, 80, 3), 250 + i, np.uint8) for i in range(5))), "pairs", progress=silence)
    assert made.findings.pictures is not None
    assert (made.findings.pictures.equal.groups, made.findings.pictures.near.members) == (0, 5)
    made.write(tmp_path / "page.html")
    assert "5 pictures alike" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("within", [0, 64])
def test_how_near_is_near_can_be_said(within: int, mess: Path) -> None:
    if within == 64:
        with pytest.raises(ValueError, match="within 0 to 62 bits"):
            inspect(open_source(mess), "mess", within=within, progress=silence)
    else:
        pictures = inspect(open_source(mess), "mess", within=within, progress=silence).findings.pictures
        assert pictures is not None
        assert pictures.near.spare < 10


def test_without_the_package_languages_are_left_out(
    mess: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_text: str) -> str:
        raise ModuleNotFoundError("pip install it")

    monkeypatch.setattr(inspection, "language", absent)
    made = inspect(open_source(mess), "mess", sample=5, progress=silence)
    assert made.findings.missing == "pip install it"
    made.write(tmp_path / "page.html")
    assert "pip install it" in (tmp_path / "page.html").read_text()


def test_reasons_and_tags_cannot_grow_without_end() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    tags = [{"shop": f"shop {i}", f"key {i}": 1} for i in range(300)]
    found: Findings = inspect(
        Listed([Pair(str(i), picture, "text", tag) for i, tag in enumerate(tags)]), "pairs", progress=silence
    ).findings
    assert len(found.tags["shop"]) == 101
    assert found.tags["shop"]["others"] == 200
    assert len(found.tags) == 101


def test_pictures_in_memory_are_bounded() -> None:
    taken, alive = 0, []

    class Counting(Listed):
        def __getitem__(self, index: int) -> Pair:
            nonlocal taken
            taken += 1
            return super().__getitem__(index)

    def progress(done: int, _total: int) -> None:
        alive.append(taken - done)

    pictures = [np.full((8, 8, 3), i % 256, np.uint8) for i in range(200)]
    inspect(Counting(plain(*pictures).pairs), "pairs", threads=2, progress=progress)
    assert max(alive) <= 8
