"""Tars: read as webdataset reads them, written as it reads them; damage costs what is damaged and nothing else."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import webdataset
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from chiasm.core.types import ImageText, Pixels
from chiasm.data import loader, order
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader, Share
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import open_source, pieces, tars
from chiasm.data.sources.tars import TarSource
from chiasm.data.text import Tokenizer
from chiasm.data.writers import Form, write_tar

PLAIN = ImageProcessor(Pixels(size=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    ".tar": bytes, ".tar.gz": gzip.compress, ".tgz": gzip.compress, ".tar.bz2": bz2.compress, ".tar.xz": lzma.compress,
}  # fmt: skip


def png(shade: int, side: int = 5) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 0, 0)).save(sink, "PNG")
    return sink.getvalue()


def made(count: int, start: int = 0) -> list[Pair]:
    return [Pair(f"p{i}", png(i), f"text {i}", {"n": i}) for i in range(start, start + count)]


def tar(path: Path, members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as file:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def listed(source: Source) -> list[tuple[str, str]]:
    return [(source[i].id, source[i].text) for i in range(len(source))]


def test_what_we_write_we_read(tmp_path: Path) -> None:
    pairs = [*made(5), Pair("é/\n#1", np.full((2, 3, 3), 7, np.uint8), "ein Text", {"tags": {"a": [1]}})]
    assert write_tar(pairs, tmp_path / "x.tar") == 6
    source = open_source(tmp_path / "x.tar")
    assert isinstance(source, TarSource)
    assert isinstance(source, Source)
    assert list(source)[:5] == pairs[:5]
    assert (source[5].id, source[5].text, source[5].tags) == (pairs[5].id, "ein Text", {"tags": {"a": [1]}})
    assert Image.open(io.BytesIO(source[-1].image)).getpixel((0, 0)) == (7, 7, 7)
    assert (source.skipped, source.shards) == ((), ())


def test_a_source_is_written_as_its_pairs_are(tmp_path: Path) -> None:
    """Also one that, asked for more than it has, does not say that it ends."""
    source = open_source("world:single?count=3&seed=5")
    pairs = [source[i] for i in range(3)]
    for form in Form:
        files = [tmp_path / part / f"x.{form.value}" for part in ("source", "pairs")]
        assert [form.write(given, file) for given, file in zip((source, pairs), files, strict=True)] == [3, 3]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_what_we_write_webdataset_reads(tmp_path: Path) -> None:
    write_tar(made(5), tmp_path / "x.tar")
    with (tmp_path / "x.tar").open("rb") as raw:  # `WebDataset` itself leaves its files open
        theirs = list(group_by_keys(tar_file_expander([{"url": "x.tar", "stream": raw}])))
    assert [sample["png"] for sample in theirs] == [pair.image for pair in made(5)]
    assert [sample["txt"].decode() for sample in theirs] == [pair.text for pair in made(5)]
    assert [json.loads(sample["json"])["id"] for sample in theirs] == [pair.id for pair in made(5)]


@pytest.mark.parametrize("compress", [False, True])
def test_what_webdataset_writes_we_read(tmp_path: Path, compress: bool) -> None:  # noqa: FBT001 their own switch
    path = tmp_path / f"000.tar{'.gz' if compress else ''}"
    long = "deep/" * 30 + "name"
    with webdataset.TarWriter(str(path), compress=compress) as sink:
        for i in range(4):
            sink.write({"__key__": f"a/s{i}", "png": png(i), "txt": f"text {i}"})
        sink.write({"__key__": "json", "png": png(5), "json": {"caption": ["one", "two"], "width": 5, "id": 17}})
        sink.write({"__key__": "class", "png": png(6), "cls": 3})
        sink.write({"__key__": long, "seg.png": b"mask", "jpg": np.zeros((4, 4, 3)), "txt": "both"})
        sink.write({"__key__": "mute", "png": png(7)})
    source = open_source(path)
    assert listed(source) == [
        *((f"000/a/s{i}", f"text {i}") for i in range(4)),
        ("17", "one"), ("17#2", "two"), ("000/class", "3"), (f"000/{long}", "both"),
    ]  # fmt: skip
    assert source[4].tags == source[5].tags == {"width": 5}
    assert source[6].tags == {"cls": "3"}
    assert Image.open(io.BytesIO(source[7].image)).format == "JPEG"
    assert [(each.id, each.reason) for each in source.skipped] == [("000/mute", "no text")]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_where_python_finds_them(tmp_path: Path, form: int) -> None:
    """An independent reader: `tarfile`, over names that need every kind of header."""
    names = ["a.png", "b" * 96 + ".png", "c/" * 60 + "d.png"]
    if form != tarfile.USTAR_FORMAT:
        names += ["e" * 300 + ".png", "ü" * 80 + ".png"]
    path = tar(tmp_path / "x.tar", [(name, bytes([i]) * (500 * i + 1)) for i, name in enumerate(names)], form)
    with tarfile.open(path) as theirs, path.open("rb") as raw:
        expected = [(member.name, member.offset_data, member.size) for member in theirs]
        found = list(tars.Archive(raw, path.stat().st_size))
    assert [(member.name, member.at, member.size) for member in found] == expected
    assert len(found) == len(names)


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "global"}) as file:
        for kind, name in ((tarfile.DIRTYPE, "a"), (tarfile.SYMTYPE, "a/l.png"), (tarfile.REGTYPE, "._a.png")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "elsewhere" * 20
            file.addfile(member)
        for name, data in (("a/1.png", png(1)), ("README", b"hello"), ("a/1.TXT", b"one")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    assert listed(open_source(path)) == [("x/a/1", "one")]


@pytest.mark.parametrize("ending", [*PACKED, ".tar.zst"])
def test_every_compression(tmp_path: Path, ending: str) -> None:
    write_tar(made(30), tmp_path / "x")
    pack = {**PACKED, ".tar.zst": zstd}[ending]
    (tmp_path / f"y{ending}").write_bytes(pack((tmp_path / "x").read_bytes()))
    source = open_source(tmp_path / f"y{ending}")
    assert [source[i] for i in (29, 0, 15, 14, 29)] == [made(30)[i] for i in (29, 0, 15, 14, 29)]
    assert [*source.shards] == ([] if ending == ".tar" else [range(30)])


def test_folders_patterns_and_missing_shards(tmp_path: Path) -> None:
    for number in range(8, 11):
        write_tar(made(3, start=3 * number), tmp_path / f"{number:03d}.tar")
    expected = [f"p{i}" for i in range(24, 33)]
    for where in (tmp_path, f"{tmp_path}/{{008..010}}.tar", f"{tmp_path}/0*.tar", f"{tmp_path}/{{008,009,010}}.tar"):
        assert [each.id for each in open_source(where)] == expected
    source = open_source(f"{tmp_path}/{{009..012}}.tar")
    assert [each.id for each in source] == expected[3:]
    assert [each.id for each in source.skipped] == ["011.tar", "012.tar"]
    assert "No such file" in source.summary()
    with pytest.raises(ValueError, match=r"none of the 3 files of .* exists, neither .*/1\.tar"):
        open_source(f"{tmp_path}/{{1..3}}.tar")


def test_keys_are_told_apart_by_their_tars(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for folder in (tmp_path, tmp_path / "more"):
        tar(folder / "0.tar", [("1.png", png(1)), ("1.txt", b"one")])
    tar(tmp_path / "v1.2.tar", [("1.png", png(1)), ("1.txt", b"one")])
    assert [each.id for each in open_source(tmp_path)] == ["0/1", "v1.2/1"]
    ids = [each.id for each in open_source(f"{tmp_path}/{{more/0,0}}.tar")]
    assert ids == ["more/0.tar/1", f"{tmp_path.name}/0.tar/1"]


def test_damage_costs_what_is_damaged(tmp_path: Path) -> None:
    write_tar(made(40), tmp_path / "x.tar")
    whole = (tmp_path / "x.tar").read_bytes()
    with tarfile.open(tmp_path / "x.tar") as file:
        members = file.getmembers()
    at = {member.name: member for member in members}["x000007.txt"]
    for cut, read in ((at.offset_data + 2, 7), (at.offset + 100, 7), (at.offset, 7), (0, 0)):
        (tmp_path / "cut.tar").write_bytes(whole[:cut])
        if not read:
            with pytest.raises(ValueError, match="no end mark"):
                open_source(tmp_path / "cut.tar")
            continue
        source = open_source(tmp_path / "cut.tar")
        assert [each.id for each in source] == [f"p{i}" for i in range(read)]
        assert "cut.tar" in source.summary()
    spoilt = bytearray(whole)
    spoilt[at.offset + 3] ^= 1
    (tmp_path / "cut.tar").write_bytes(spoilt)
    source = open_source(tmp_path / "cut.tar")
    assert source.skipped[-1].reason.startswith("cannot be read on after 8 samples: a damaged header")
    assert [each.id for each in source] == [f"p{i}" for i in range(7)]
    for data in (b"", b"no tar" * 200, gzip.compress(whole)):
        (tmp_path / "cut.tar").write_bytes(data)
        with pytest.raises(ValueError, match=r"no pairs in .*cut\.tar"):
            open_source(tmp_path / "cut.tar")


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_damaged_compression(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 60, 3), dtype=np.uint8)
    pairs = [Pair(f"p{i}", noise[i], f"text {i}") for i in range(40)]
    write_tar(pairs, tmp_path / "x.tar")
    packed = {**PACKED, ".tar.zst": zstd}[ending]((tmp_path / "x.tar").read_bytes())
    (tmp_path / f"y{ending}").write_bytes(packed[: len(packed) * 3 // 4])
    try:
        source = open_source(tmp_path / f"y{ending}")
    except ValueError as error:  # one block of bz2 holds all of it
        assert ending == ".tar.bz2" or "no pairs" in str(error)  # noqa: PT017 either may happen
        return
    assert 0 < len(source) < 40
    assert [each.id for each in source] == [f"p{i}" for i in range(len(source))]
    assert source.skipped[-1].id == f"y{ending}"


def test_samples_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    members = [
        ("1.txt", b"no picture"), ("2.png", png(2)), ("2.txt", b" \n"), ("3.png", png(3)), ("3.json", b"{"),
        ("4.png", png(4)), ("4.txt", "ü".encode("latin-1")), ("5.png", png(5)), ("5.txt", b"good"),
        ("5.png", png(6)), ("5.txt", b"again"), ("6.png", png(7)), ("6.json", b'{"id": "x/5", "caption": "same id"}'),
    ]  # fmt: skip
    source = open_source(tar(tmp_path / "x.tar", members))
    assert listed(source) == [("x/5", "good")]
    assert [(each.id, each.reason) for each in source.skipped] == [
        ("x/1", "no picture, only .txt"),
        ("x/2", "no text"),
        ("x/3", "broken JSON"),
        ("x/4", "not UTF-8"),
        ("x/5", "duplicate id, the first is kept"),
        ("x/5", "duplicate id, the first is kept"),
    ]


def test_the_fingerprint_follows_the_pairs(tmp_path: Path) -> None:
    def print_of(pairs: list[Pair]) -> str:
        write_tar(pairs, tmp_path / "x.tar")
        return open_source(tmp_path / "x.tar").fingerprint

    pairs = made(3)
    others = [pairs[:2], pairs[::-1], [*pairs[:2], Pair("p2", png(2), "other", {"n": 2})]]
    assert print_of(pairs) == print_of(made(3))
    assert len({print_of(each) for each in [pairs, *others]}) == 4


def test_a_tar_that_changed_is_noticed(tmp_path: Path) -> None:
    write_tar(made(9), tmp_path / "x.tar")
    source = open_source(tmp_path / "x.tar")
    (tmp_path / "x.tar").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"x\.tar has changed since it was opened"):
        source[5]


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four compressed tars of 25 pairs, in pieces and windows that are small beside them; nothing is kept decoded."""
    monkeypatch.setattr(pieces, "PIECE", 3000)
    for module in (order, tars):
        monkeypatch.setattr(module, "WINDOW", 10)
    monkeypatch.setattr(loader, "MEMORY", 0)
    for number in range(4):
        write_tar(made(25, start=25 * number), tmp_path / "x")
        (tmp_path / f"{number}.tar.gz").write_bytes(gzip.compress((tmp_path / "x").read_bytes()))
    (tmp_path / "x").unlink()
    return tmp_path


def load(where: Path, share: Share = Share()) -> PairLoader:  # noqa: B008 frozen
    return PairLoader(open_source(where), PLAIN, Tokenizer.builtin(), batch=8, seed=3, share=share)


def shades(batch: ImageText) -> list[int]:
    return (batch.images[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize("cores", [1, 2, 4])
def test_batches_do_not_depend_on_threads_and_resume_anywhere(
    shards: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = load(shards)
    expected, states = [], [one.state_dict()]
    for batch in islice(one, 26):
        expected.append(shades(batch))
        states.append(one.state_dict())
    assert sorted([shade for each in expected for shade in each][:100]) == list(range(100))
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    again = load(shards)
    assert [shades(batch) for batch in islice(again, 26)] == expected
    for place in range(0, 25, 6 if cores < 4 else 1):
        again = load(shards)
        again.load_state_dict(states[place])
        assert shades(next(again)) == expected[place]
        assert again.state_dict() == states[place + 1]


def test_ranks_have_every_row_once(shards: Path) -> None:
    batches = [islice(load(shards, Share(rank, 2)), 12) for rank in range(2)]
    seen = [[shade for batch in own for shade in shades(batch)] for own in batches]
    assert len({*seen[0], *seen[1]}) == 96
    assert {len(each) for each in seen} == {48}


def test_a_compressed_tar_is_opened_once_an_epoch_and_little_stays(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(shards)
    opened: list[str] = []

    def counted(path: Path) -> object:
        opened.append(path.name)
        return tars.unpacked(path)

    monkeypatch.setattr(pieces, "unpacked", counted)
    batches = PairLoader(source, PLAIN, Tokenizer.builtin(), batch=10, seed=3)
    for _ in islice(batches, 10):
        assert len(source._pieces._pieces) <= source._pieces._room < 30
    assert sorted(opened[:4]) == [f"{number}.tar.gz" for number in range(4)]
    assert len(opened) <= 5  # one more where the next epoch has been begun


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_tars_behind_a_url(tmp_path: Path, ending: str) -> None:
    write_tar(made(6), tmp_path / "x")
    memory = fsspec.filesystem("memory")
    for number in range(2):
        memory.pipe(f"/tars{ending}/{number}{ending}", PACKED[ending]((tmp_path / "x").read_bytes()))
    source = open_source(f"memory://tars{ending}/0{ending}")
    assert list(source) == made(6)
    assert [*source.shards] == [range(6)]
    assert len(open_source(f"memory://tars{ending}").skipped) == 6  # the same ids
    assert [each.id for each in open_source(f"memory://tars{ending}/{{0..1}}{ending}")] == [f"p{i}" for i in range(6)]


def test_half_a_picture_is_none(tmp_path: Path) -> None:
    """A compressed tar that ends within a picture whose text has come: as in a plain one, the pair does not count."""
    noise = np.random.default_rng(0).bytes(100_000)
    members = [("0.txt", b"whole"), ("0.png", png(0)), ("1.txt", b"half"), ("1.png", noise)]
    data = tar(tmp_path / "x.tar", members).read_bytes()
    (tmp_path / "y.tar").write_bytes(data[:60_000])
    (tmp_path / "y.tar.gz").write_bytes(gzip.compress(data)[:60_000])
    for ending in (".tar", ".tar.gz"):
        assert listed(open_source(tmp_path / f"y{ending}")) == [("y/0", "whole")]
