"""What is kept, and how it is written: against a plain loop, and against being stopped."""

import errno
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from capfilt_fakes import load, open_lines, pixels, plain_rows, write_source
from PIL import Image

from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.policy import POLICIES, Keep, Policy, Score
from chiasm.bootstrap.run import run
from chiasm.bootstrap.select import Kept, Selection, select
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, Said, Status
from chiasm.bootstrap.standards import Standards
from chiasm.bootstrap.store import Store
from chiasm.core.errors import AbilityError
from chiasm.core.files import OutputError
from chiasm.data.sources import open_source
from chiasm.data.writers import Form

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
    Image.fromarray(pixels(1)).save(tmp_path / "missing.jpg")
    folder, out = finished(tmp_path, rows), tmp_path / "out"
    (tmp_path / "missing.jpg").unlink()
    kept = pick(folder, out, "none")
    assert (kept.unreadable, kept.pairs) == (1, {"web": 5})
    Image.fromarray(pixels(1)).save(tmp_path / "missing.jpg")
    assert pick(folder, out, "none") == Kept(pairs={"web": 5, "human": 1}, copies=0, unreadable=0, missing=())


def test_a_filter_without_a_matching_head_cannot_decide(tmp_path: Path) -> None:
    folder = finished(tmp_path, plain_rows(3), replace(SETTINGS, filter="contrast"))
    with pytest.raises(AbilityError, match="no matching head"):
        pick(folder, tmp_path / "out")
    assert pick(folder, tmp_path / "all", "captioner").pairs == {"web": 3, "synthetic": 3}


def looked(folder: Path, looks: Sequence[dict[str, Any]], captions: int = 1) -> Path:
    """A run whose pictures are as they are said to be, two a shard."""
    settings = replace(SETTINGS, captions=captions, languages=True)
    write_source(folder / "source", plain_rows(len(looks)))
    plan(folder / "source", folder / "run", shard_size=2, opened=open_lines)
    store = Store(folder / "run")
    store.begin(settings)
    said = tuple(
        Said(text=f"said {i}", prompt="", seed=0, logprob=0.0, itc=0.1 * i, itm=1 - 0.1 * i) for i in range(captions)
    )
    plain = Row(id="", web="web", tags="{}", seed=0, synthetic=said, web_itc=0.25, web_itm=0.75, width=64, height=64)
    for shard in store.shards:
        rows = [
            replace(plain, **({"id": f"p{i}", "blur": 100.0, "hash": 255 << (8 * i)} | looks[i]))
            for i in range(shard.start, shard.stop)
        ]
        store.write(shard, rows, settings)
    return folder / "run"


def ids(folder: Path, policy: Policy) -> list[str]:
    pairs = Selection(folder, policy, opened=open_lines)
    return [pairs[i].id for i in range(len(pairs))]


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({}, "p0 p1 p2 p3 p4"),
        ({"min_side": 64}, "p0 p2 p3 p4"),
        ({"min_blur": 50.0}, "p0 p1 p3 p4"),
        ({"languages": ("en",)}, "p3 p4"),
        ({"languages": ("en", "de")}, "p0 p3 p4"),
        ({"languages": ("",)}, "p1 p2 p4"),
    ],
)
def test_standards(tmp_path: Path, asked: dict[str, Any], left: str) -> None:
    """The last one is a person's: neither looked at nor judged, and always kept."""
    human = {"status": Status.HUMAN, "width": None, "height": None, "blur": None, "hash": None, "synthetic": ()}
    folder = looked(
        tmp_path, [{"language": "de"}, {"height": 63}, {"blur": 49.0}, {"language": "en"}, human], captions=1
    )
    kept = ids(folder, replace(POLICIES["filter"], standards=Standards(**asked)))
    assert [name.removesuffix("#web") for name in kept] == left.split()


def test_languages_are_of_web_texts_and_must_have_been_told(tmp_path: Path) -> None:
    folder = looked(tmp_path, [{"language": "de"}])
    english = replace(POLICIES["both"], standards=Standards(languages=("en",)))
    assert ids(folder, english) == ["p0#syn"]
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"texts in en are asked for, but .* was run without telling languages"):
        ids(finished(tmp_path / "other", plain_rows(2)), english)


def test_of_pictures_that_look_the_same_the_first_by_id_stays(tmp_path: Path) -> None:
    """Across shards; a copy that nothing would be kept of does not count."""
    looks = [
        {"id": name, "hash": bits}
        for name, bits in zip("fbdeca", (1, 0xFF << 40, 3, 0xFF00, 0xFF << 40, 1), strict=True)
    ]
    looks[5]["web_itm"] = 0.1
    folder, policy = looked(tmp_path, looks), replace(POLICIES["filter"], copies=Keep.NONE)
    assert ids(folder, policy) == ["b#web", "d#web", "e#web"]
    out = tmp_path / "out"
    kept = select(folder, out, policy, opened=open_lines)
    assert (kept.copies, kept.pairs) == (2, {"web": 3})
    assert sorted(pair.id for pair in map(open_source(out).__getitem__, range(3))) == ["b#web", "d#web", "e#web"]
    before = files(out)
    assert select(folder, out, policy, opened=open_lines) == kept
    assert files(out) == before


def test_a_copy_that_comes_later_changes_what_was_selected(tmp_path: Path) -> None:
    """Shard 1 has the first of two copies by id, and is done after shard 0 was selected."""
    folder = looked(tmp_path, [{"id": "z", "hash": 7}, {}, {"id": "a", "hash": 7}, {}])
    policy, out = replace(POLICIES["filter"], copies=Keep.NONE), tmp_path / "out"
    record = (folder / "000001.done").read_bytes()
    (folder / "000001.done").unlink()
    assert select(folder, out, policy, opened=open_lines).pairs == {"web": 2}
    (folder / "000001.done").write_bytes(record)
    kept = select(folder, out, policy, opened=open_lines)
    assert (kept.pairs, kept.copies) == ({"web": 3}, 1)
    select(folder, tmp_path / "new", policy, opened=open_lines)
    assert files(out) == files(tmp_path / "new")


def test_the_best_of_several_captions(tmp_path: Path) -> None:
    """Cosines rise with the number of the caption, probabilities fall; the web's text has 0.25 and 0.75."""
    folder = looked(tmp_path, [{}], captions=6)
    everything = ["web", *(f"syn{i}" for i in range(6))]
    for policy, left in (
        (POLICIES["captioner"], everything),
        (replace(POLICIES["both"], threshold=0.65), ["web", "syn0", "syn1", "syn2", "syn3"]),
        (replace(POLICIES["both"], best=2), ["syn0", "syn1"]),
        (replace(POLICIES["captioner"], best=2, by=Score.ITC), ["syn4", "syn5"]),  # as BLIP-2 does it
        (replace(POLICIES["captioner"], best=4, by=Score.ITC), ["web", "syn3", "syn4", "syn5"]),  # 0.25, 0.3, 0.4, 0.5
        (replace(POLICIES["captioner"], best=99), everything),
    ):
        assert sorted(ids(folder, policy)) == sorted(f"p0#{name}" for name in left)
    with pytest.raises(ValueError, match="best is a number of texts"):
        replace(POLICIES["both"], best=-1)
    texts = Selection(folder, POLICIES["captioner"], opened=open_lines)
    assert texts[3].text == "said 2"


def test_the_prompt_of_a_caption_travels_along(tmp_path: Path) -> None:
    folder = finished(tmp_path, plain_rows(2), replace(SETTINGS, prompts=("", "a picture of")))
    pairs = Selection(folder, POLICIES["captioner"], opened=open_lines)
    assert [pairs[i].id for i in range(3)] == ["p0#web", "p0#syn0", "p0#syn1"]
    assert [pairs[i].tags.get("prompt") for i in range(3)] == [None, None, "a picture of"]
