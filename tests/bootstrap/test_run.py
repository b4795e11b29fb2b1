"""The shard is the transaction: killed, failed, full disk, and started again."""

import errno
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from capfilt_fakes import Model, open_lines, plain_rows, write_source
from capfilt_fakes import load as load_fake

from chiasm.bootstrap.manifest import Part, plan
from chiasm.bootstrap.run import Summary, retry, run, summary
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Status
from chiasm.bootstrap.store import Store
from chiasm.core.errors import AbilityError
from chiasm.core.files import OutputError

SETTINGS = Settings(captioner="model", filter="model", batch=3)


def planned(folder: Path, rows: list[dict[str, Any]], shard_size: int = 4) -> Path:
    source = write_source(folder / "source", rows)
    plan(source, folder / "run", shard_size=shard_size, opened=open_lines)
    return folder / "run"


def go(folder: Path, settings: Settings = SETTINGS, **options: Any) -> Summary:
    return run(folder, settings, **{"load": load_fake, "opened": open_lines} | options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def unloadable(name: str) -> Any:
    raise AssertionError(f"{name} is loaded although nothing is left to do")


def in_a_child(work: Callable[[], object]) -> bool:
    """Do it in a forked process; whether that was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """What an uninterrupted run of ten plain rows leaves."""
    folder = planned(tmp_path, plain_rows(10))
    go(folder)
    return files(folder)


def test_every_row_is_there_once_and_in_order(tmp_path: Path) -> None:
    folder = planned(tmp_path, plain_rows(10))
    told: list[tuple[int, int]] = []
    ended = go(folder, progress=lambda *counts: told.append(counts))
    assert ended == Summary(shards=3, done=3, quarantined=(), statuses={"ok": 10})
    assert ended.complete
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    store = Store(folder)
    rows = [row for shard, done in store.finished() for row in store.rows(shard, done)]
    assert [row.id for row in rows] == [f"p{i}" for i in range(10)]
    assert sorted(files(folder)) == sorted(
        ["manifest.json", "settings.json", *(f"00000{i}.{kind}" for i in range(3) for kind in ("done", "parquet"))]
    )


def test_batches_are_fixed_by_the_shard(tmp_path: Path) -> None:
    batches: list[int] = []
    go(planned(tmp_path, plain_rows(10)), load=lambda _: Model(batches=batches))
    assert batches == [3, 1, 3, 1, 2]


def test_the_same_command_again_loads_nothing_and_changes_nothing(tmp_path: Path, whole: dict[str, bytes]) -> None:
    assert go(tmp_path / "run", load=unloadable).complete
    assert files(tmp_path / "run") == whole


def test_other_settings_on_an_old_folder(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r"seed was 0 and is 1 now, top_p was 0\.9 and is 0\.8 now"):
        go(tmp_path / "run", replace(SETTINGS, seed=1, top_p=0.8))
    assert files(tmp_path / "run") == whole


def test_a_model_trained_again_is_another_model(tmp_path: Path) -> None:
    folder = planned(tmp_path, plain_rows(4))
    model = tmp_path / "model"
    model.mkdir()
    (model / "a.safetensors").write_bytes(b"old")
    settings = replace(SETTINGS, captioner=str(model))
    go(folder, settings, load=lambda _: Model())
    go(folder, settings, load=unloadable)
    (model / "a.safetensors").write_bytes(b"new")
    with pytest.raises(ValueError, match="captioner_weights was"):
        go(folder, settings)


def test_a_source_that_changed_since_the_plan(tmp_path: Path) -> None:
    folder = planned(tmp_path, plain_rows(4))
    write_source(tmp_path / "source", plain_rows(5))
    with pytest.raises(ValueError, match="has changed since it was planned"):
        go(folder)


def test_bad_pairs_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    rows = plain_rows(6)
    rows[0]["image"], rows[1]["text"], rows[2]["tags"], rows[3]["text"] = "broken", " ", {"human": True}, "unreadable"
    ended = go(planned(tmp_path, rows))
    assert ended.statuses == {"decode_error": 2, "empty_text": 1, "human": 1, "ok": 2}
    assert ended.complete


def test_killed_between_any_two_steps_and_started_again(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is written, synced, renamed, then its folder synced: death comes at each sync in turn.

    So it finds a file under its temporary name, and one that has its own but no successor.
    """
    files_written = 7  # settings, then a side-car and a record for each of three shards
    for death in range(2 * files_written + 1):
        folder = tmp_path / f"{death}"
        plan(tmp_path / "source", folder, shard_size=4, opened=open_lines)
        calls: list[int] = []

        def lethal(handle: int, *, death: int = death, calls: list[int] = calls) -> None:
            calls.append(handle)
            if len(calls) > death:
                os._exit(9)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lethal)
            died = in_a_child(lambda folder=folder: go(folder))
        assert died == (death < 2 * files_written)
        trusted = [shard.id for shard, done in Store(folder).finished() if Store(folder).rows(shard, done)]
        assert trusted == list(range((death - 1) // 4))  # four syncs a shard, of which the last two make it count
        go(folder)
        assert files(folder) == whole


def test_a_shard_that_fails_is_tried_again_then_left(tmp_path: Path) -> None:
    rows = plain_rows(10)
    rows[5]["text"] = "raise"
    folder = planned(tmp_path, rows)
    ended = go(folder, attempts=3)
    assert (ended.done, ended.quarantined, ended.complete) == (2, (1,), False)
    shard = Store(folder).manifest.shards[1]
    assert Store(folder).attempts(shard) == ["RuntimeError: no good"] * 3
    assert go(folder, load=unloadable).quarantined == (1,)
    assert retry(folder, "quarantined") == 1
    assert go(folder, attempts=1).quarantined == (1,)
    assert len(Store(folder).attempts(shard)) == 1


def test_a_shard_that_works_at_last_leaves_no_trace_of_its_failures(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = planned(tmp_path, plain_rows(10))
    Store(folder).note(Store(folder).manifest.shards[0], "once")
    for kind in ("parquet", "done"):
        (folder / f"000000.{kind}").unlink()
    assert go(folder, attempts=2).complete
    assert files(folder) == whole


def test_retry_does_again_what_had_a_bad_row(tmp_path: Path) -> None:
    rows = plain_rows(10)
    rows[9]["image"] = "missing"
    folder = planned(tmp_path, rows)
    go(folder)
    before = files(folder)
    assert retry(folder, Status.DECODE_ERROR) == 1
    assert summary(folder).done == 2
    assert go(folder).complete
    assert files(folder) == before
    with pytest.raises(ValueError, match="did you mean 'decode_error'"):
        retry(folder, "decode_eror")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("at", [3, 5, 9])
def test_a_disk_that_takes_no_more(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, at: int, code: int
) -> None:
    folder = tmp_path / "again"
    plan(tmp_path / "source", folder, shard_size=4, opened=open_lines)
    calls: list[int] = []
    real = os.fsync

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > at:
            raise OSError(code, os.strerror(code))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=rf"cannot write .*again.*: {os.strerror(code)}"):
            go(folder)
    assert all(Store(folder).rows(shard, done) for shard, done in Store(folder).finished())
    assert not list(folder.glob("*.attempts"))
    go(folder)
    assert files(folder) == whole


def test_a_model_that_cannot_do_it_stops_the_run(tmp_path: Path) -> None:
    folder = planned(tmp_path, [{"id": "a", "text": "unable"}])
    with pytest.raises(AbilityError, match="cannot match"):
        go(folder)
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]  # others may, with settings of their own


def test_a_model_that_is_not_there_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such model"):
        go(planned(tmp_path, plain_rows(4)), replace(SETTINGS, captioner="absent"))


def test_what_is_done_is_held_to_its_settings_whatever_fails_then(tmp_path: Path) -> None:
    folder = planned(tmp_path, [*plain_rows(4), {"id": "x", "text": "unable"}])
    with pytest.raises(AbilityError, match="cannot match"):
        go(folder)
    with pytest.raises(ValueError, match="was begun differently: seed was"):
        go(folder, replace(SETTINGS, seed=SETTINGS.seed + 1))


def test_a_damaged_record_is_made_again(tmp_path: Path, whole: dict[str, bytes], caplog: Any) -> None:
    folder = tmp_path / "run"
    for damage in (b"", b"{}", whole["000001.done"][:40]):
        (folder / "000001.done").write_bytes(damage)
        assert [shard.id for shard, _ in Store(folder).finished()] == [0, 2]
        assert "000001.done is damaged" in caplog.text
        caplog.clear()
        go(folder)
        assert files(folder) == whole


def test_a_mistake_in_a_program_is_not_a_failure_of_a_shard(tmp_path: Path) -> None:
    folder = planned(tmp_path, [{"id": "a", "text": "mistake"}])
    with pytest.raises(TypeError, match="a bug"):
        go(folder)


def test_a_sidecar_that_is_not_what_its_record_says(tmp_path: Path, whole: dict[str, bytes]) -> None:
    store = Store(tmp_path / "run")
    (tmp_path / "run/000001.parquet").write_bytes(whole["000000.parquet"])
    shards = list(store.finished())
    assert store.rows(*shards[0])
    with pytest.raises(ValueError, match=r"000001\.parquet has the hash .* but its record says"):
        store.rows(*shards[1])


def test_a_record_of_another_plan_is_not_trusted(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "run"
    (folder / "000001.done").write_bytes(whole["000000.done"])
    (folder / "000002.parquet").unlink()
    assert [shard.id for shard, _ in Store(folder).finished()] == [0]
    go(folder)
    assert files(folder) == whole


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_jobs_share_a_folder(tmp_path: Path, whole: dict[str, bytes], jobs: int) -> None:
    """Each does its own shards, in any order of jobs, and can be done again; together they leave what one leaves."""
    folder = tmp_path / "shared"
    plan(tmp_path / "source", folder, shard_size=4, opened=open_lines)
    ended = [go(folder, part=Part(index, jobs)) for index in reversed(range(jobs))]
    assert [one.shards for one in ended] == [len(range(index, 3, jobs)) for index in reversed(range(jobs))]
    assert all(one.complete for one in ended)
    assert files(folder) == whole
    assert go(folder, load=unloadable, part=Part(0, jobs)).complete
    assert summary(folder) == Summary(shards=3, done=3, quarantined=(), statuses={"ok": 10})


def test_a_job_opens_only_its_own_shards_again(tmp_path: Path) -> None:
    rows = plain_rows(10)
    rows[1]["image"] = rows[5]["image"] = "missing"
    folder = planned(tmp_path, rows)
    go(folder)
    assert retry(folder, "decode_error", Part(1, 2)) == 1
    assert [shard.id for shard, _ in Store(folder).finished()] == [0, 2]
    assert retry(folder, "decode_error") == 1
    with pytest.raises(ValueError, match="no job 2 of 2: jobs are numbered from 0, the last is 1"):
        Part(2, 2)


def test_a_job_leaves_alone_what_another_one_is_writing(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job stands still at each sync in turn, with a file half written, while the other one does all of its part."""
    for death in range(10):
        folder = tmp_path / f"{death}"
        plan(tmp_path / "source", folder, shard_size=4, opened=open_lines)
        calls: list[int] = []

        def lethal(handle: int, *, death: int = death, calls: list[int] = calls) -> None:
            calls.append(handle)
            if len(calls) > death:
                os._exit(9)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lethal)
            assert in_a_child(lambda folder=folder: go(folder, part=Part(0, 2)))
        half = {name: data for name, data in files(folder).items() if name.endswith(".part")}
        assert len(half) == (death + 1) % 2
        assert go(folder, part=Part(1, 2)).complete
        assert half.items() <= files(folder).items()
        assert go(folder, part=Part(0, 2)).complete
        left = files(folder)
        left.pop(".settings.json.0-of-2.part", b"")  # if it died over it, the other one has written the settings
        assert left == whole


def test_a_folder_of_an_older_version_says_so(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "run"
    (folder / "settings.json").write_text('{"captioner": "model", "filter": "model", "seed": 0}')
    for work in (lambda: go(folder), lambda: summary(folder)):
        with pytest.raises(ValueError, match=r"side-cars are of format 1, and this version reads and writes 2; go on"):
            work()
    assert (folder / "000000.done").read_bytes() == whole["000000.done"]
