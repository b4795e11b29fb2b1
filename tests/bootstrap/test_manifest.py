"""A plan is a function of its source."""

from pathlib import Path

import pytest
from capfilt_fakes import open_lines, plain_rows, write_source

from chiasm.bootstrap.manifest import Manifest, plan


def test_shards_cover_every_row_once(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", plain_rows(23))
    shards = plan(source, tmp_path / "run", shard_size=5, opened=open_lines).shards
    assert [row for shard in shards for row in range(shard.start, shard.stop)] == list(range(23))
    assert [shard.name for shard in shards] == ["000000", "000001", "000002", "000003", "000004"]
    assert len({shard.fingerprint for shard in shards}) == 5


def test_the_same_source_gives_the_same_bytes_and_planning_again_touches_nothing(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", plain_rows(7))
    first = plan(source, tmp_path / "a", opened=open_lines)
    assert plan(source, tmp_path / "b", opened=open_lines) == first == Manifest.read(tmp_path / "a")
    manifest = tmp_path / "a/manifest.json"
    assert manifest.read_bytes() == (tmp_path / "b/manifest.json").read_bytes()
    before = manifest.stat().st_mtime_ns
    plan(source, tmp_path / "a", opened=open_lines)
    assert manifest.stat().st_mtime_ns == before


def test_a_changed_source_is_an_error_that_names_both_fingerprints(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", plain_rows(7))
    old = plan(source, tmp_path / "run", opened=open_lines)
    write_source(source, plain_rows(8))
    new = open_lines(str(source)).fingerprint
    with pytest.raises(ValueError, match=rf"fingerprint was '{old.fingerprint}' and is '{new}' now"):
        plan(source, tmp_path / "run", opened=open_lines)
    with pytest.raises(ValueError, match=rf"fingerprint was {old.fingerprint} and is {new} now"):
        old.open(open_lines)


def test_another_shard_size_is_an_error(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", plain_rows(7))
    plan(source, tmp_path / "run", shard_size=3, opened=open_lines)
    with pytest.raises(ValueError, match="shard_size was 3 and is 4 now"):
        plan(source, tmp_path / "run", shard_size=4, opened=open_lines)


def test_a_source_may_move(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", plain_rows(7))
    plan(source, tmp_path / "run", opened=open_lines)
    moved = source.rename(tmp_path / "moved")
    plan(moved, tmp_path / "run", opened=open_lines)
    assert Manifest.read(tmp_path / "run").source == str(moved)


def test_nothing_to_plan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pairs"):
        plan(write_source(tmp_path / "source", []), tmp_path / "run", opened=open_lines)
    with pytest.raises(ValueError, match="holds no manifest"):
        Manifest.read(tmp_path / "run")
    with pytest.raises(ValueError, match="shard_size is 0"):
        plan(tmp_path / "source", tmp_path / "run", shard_size=0, opened=open_lines)
