"""What is kept, and how it is written: against a plain loop, and against being stopped."""

import errno
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capfilt_fakes import load, open_lines, pixels, plain_rows, write_source
from PIL import Image

from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.pack import Form
from chiasm.bootstrap.policy import POLICIES
from chiasm.bootstrap.run import run
from chiasm.bootstrap.select import Kept, Selection, select
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, Status
from chiasm.bootstrap.store import Store
from chiasm.core.errors import AbilityError
from chiasm.core.files import OutputError
from chiasm.data.sources import open_source

SETTINGS = Settings(captioner="model", filter="model")


def finished(folder: Path, rows: list[dict[str, Any]], settings: Settings = SETTINGS) -> Path:
    write_source(folder / "source", rows)
    plan(folder / "source", folder / "run", shard_size=5, opened=open_lines)
    run(folder / "run", settings, load=load, opened=open_lines)
    return folder / "run"


def mixed(folder: Path) -> Path:
    """Twelve pairs, three of them by people, one without text, one without picture."""
    rows = plain_rows(12)
    for i in (2, 7, 11):
        rows[i]["tags"] = {"human": True}
    rows[3]["text"], rows[6]["image"], rows[8]["tags"] = "", "broken", {"noise": "swapped", "truth": "x"}
    return finished(folder, rows)


def all_rows(folder: Path) -> Iterator[Row]:
    store = Store(folder)
    return (row for shard, done in store.finished() for row in store.rows(shard, done))


def pick(folder: Path, out: Path, policy: str = "both", **options: Any) -> Kept:
    return select(folder, out, POLICIES[policy], opened=open_lines, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def slow(folder: Path, policy: str, threshold: float = 0.5) -> list[tuple[str, str]]:
    kept: list[tuple[str, str]] = []
    for row in all_rows(folder):
        human = "human" in row.tags
        if human:
            kept.append((row.id, row.web))
        if policy in ("none", "captioner") and not human and row.status != "decode_error" and row.web:
            kept.append((f"{row.id}#web", row.web))
        if policy in ("filter", "both") and row.web_itm is not None and row.web_itm >= threshold:
            kept.append((f"{row.id}#web", row.web))
        kept += [
            (f"{row.id}#syn", said.text)
            for said in row.synthetic
            if policy == "captioner" or (policy == "both" and said.itm is not None and said.itm >= threshold)
        ]
    return kept


@pytest.mark.parametrize("policy", POLICIES)
def test_the_rows_of_the_papers_table(tmp_path: Path, policy: str) -> None:
    folder = mixed(tmp_path)
    kept = pick(folder, tmp_path / "out", policy)
    written = open_source(tmp_path / "out")
    chosen = Selection(folder, POLICIES[policy], opened=open_lines)
    expected = slow(folder, policy)
    assert [(pair.id, pair.text) for pair in (written[i] for i in range(len(written)))] == expected
    assert [(pair.id, pair.text) for pair in (chosen[i] for i in range(len(chosen)))] == expected
    assert sum(kept.pairs.values()) == len(expected)
    assert kept.pairs["human"] == 3
    assert (kept.unreadable, kept.missing) == (0, ())


def test_pictures_and_tags_travel_along(tmp_path: Path) -> None:
    folder = mixed(tmp_path)
    pick(folder, tmp_path / "out", "captioner")
    source = open_source(tmp_path / "out")
    pairs = {pair.id: pair for pair in (source[i] for i in range(len(source)))}
    picture = np.array(Image.open(io.BytesIO(pairs["p8#syn"].image)))
    assert np.array_equal(picture, pixels(8))
    row = next(row for row in all_rows(folder) if row.id == "p8")
    assert pairs["p8#web"].tags == {"noise": "swapped", "truth": "x", "origin": "web", "itm": row.web_itm}
    assert pairs["p8#syn"].tags == {"truth": "x", "origin": "synthetic", "itm": row.synthetic[0].itm}
    assert pairs["p2"].tags == {"human": True}


def test_the_threshold_is_inclusive_and_changes_without_a_model(tmp_path: Path) -> None:
    folder = mixed(tmp_path)
    exact = next(row.web_itm for row in all_rows(folder) if row.web_itm is not None)
    for threshold in (0.0, 0.25, exact, 0.75, 1.0):
        policy = replace(POLICIES["both"], threshold=threshold)
        pairs = Selection(folder, policy, opened=open_lines)
        assert [pairs[i].id for i in range(len(pairs))] == [name for name, _ in slow(folder, "both", threshold)]
    assert len({Selection(folder, policy, opened=open_lines).fingerprint for policy in POLICIES.values()}) == 4


def test_a_tar_that_webdataset_reads(tmp_path: Path) -> None:
    folder = mixed(tmp_path)
    kept = pick(folder, tmp_path / "out", "none", form=Form.TAR)
    found: list[dict[str, bytes]] = []
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(path) as tar:
            samples: dict[str, dict[str, bytes]] = {}
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
                key, ending = member.name.split(".")
                samples.setdefault(key, {})[ending] = tar.extractfile(member).read()
        found += samples.values()
    assert len(found) == sum(kept.pairs.values())
    assert all(set(sample) == {"png", "txt", "json"} for sample in found)
    told = [(json.loads(sample["json"])["id"], sample["txt"].decode()) for sample in found]
    assert told == slow(folder, "none")
    assert np.array_equal(np.array(Image.open(io.BytesIO(found[0]["png"]))), pixels(0))


@pytest.mark.parametrize("form", Form)
def test_the_same_again_changes_nothing_and_what_is_missing_is_made_again(tmp_path: Path, form: Form) -> None:
    folder, out = mixed(tmp_path), tmp_path / "out"
    first = pick(folder, out, form=form)
    whole = files(out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert pick(folder, out, form=form) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (out / "000000.done").unlink()
    (out / f"000001.{form.value}").unlink()
    assert pick(folder, out, form=form) == first
    assert files(out) == whole


def test_another_policy_needs_another_folder(tmp_path: Path) -> None:
    folder, out = mixed(tmp_path), tmp_path / "out"
    pick(folder, out)
    with pytest.raises(ValueError, match="synthetic was 'MATCHED' and is 'NONE' now"):
        pick(folder, out, "filter")


@pytest.mark.parametrize("form", Form)
def test_a_disk_that_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form) -> None:
    folder, out = mixed(tmp_path), tmp_path / "out"
    pick(folder, tmp_path / "whole", form=form)
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
            pick(folder, out, form=form)
    assert (out / "000000.done").exists()
    pick(folder, out, form=form)
    assert files(out) == files(tmp_path / "whole")


def test_shards_that_are_not_done_are_named_and_added_later(tmp_path: Path) -> None:
    folder, out = mixed(tmp_path), tmp_path / "out"
    pick(folder, tmp_path / "whole")
    record = (folder / "000001.done").read_bytes()
    (folder / "000001.done").unlink()
    assert pick(folder, out).missing == (1,)
    (folder / "000001.done").write_bytes(record)
    assert pick(folder, out).missing == ()
    assert files(out) == files(tmp_path / "whole")


def test_a_shard_that_was_done_again_is_selected_again(tmp_path: Path) -> None:
    folder, out = mixed(tmp_path), tmp_path / "out"
    pick(folder, out)
    store = Store(folder)
    shard, done = next(store.finished())
    store.write(
        shard, [replace(row, web_itm=None, status=Status.DECODE_ERROR) for row in store.rows(shard, done)], SETTINGS
    )
    assert (
        pick(folder, out).pairs
        == Kept(pairs=pick(folder, tmp_path / "new").pairs, copies=0, unreadable=0, missing=()).pairs
    )
    assert files(out) == files(tmp_path / "new")


def test_a_picture_that_went_away_is_counted_and_tried_again(tmp_path: Path) -> None:
    rows = plain_rows(6)
    rows[1] |= {"image": "missing", "tags": {"human": True}}
    folder, out = finished(tmp_path, rows), tmp_path / "out"
    kept = pick(folder, out, "none")
    assert (kept.unreadable, kept.pairs) == (1, {"web": 5})
    Image.fromarray(pixels(1)).save(tmp_path / "missing.jpg")
    assert pick(folder, out, "none") == Kept(pairs={"web": 5, "human": 1}, copies=0, unreadable=0, missing=())


def test_a_filter_without_a_matching_head_cannot_decide(tmp_path: Path) -> None:
    folder = finished(tmp_path, plain_rows(3), replace(SETTINGS, filter="contrast"))
    with pytest.raises(AbilityError, match="no matching head"):
        pick(folder, tmp_path / "out")
    assert pick(folder, tmp_path / "all", "captioner").pairs == {"web": 3, "synthetic": 3}
