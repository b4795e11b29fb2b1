"""CapFilt in steps and in one go come to the same pairs."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .conftest import Call


@pytest.fixture
def pairs(pictures: Path) -> Path:
    for name in ("a", "b", "broken", "inside/c"):
        (pictures / f"{name}.txt").write_text(f"a picture of {name}")
    return pictures


def kept(folder: Path) -> list[tuple[str, str]]:
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    return [(row["id"], row["text"]) for table in tables for row in table.to_pylist()]


def test_steps_and_one_go(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    run, out, whole = tmp_path / "run", tmp_path / "out", tmp_path / "whole"
    planned = call("capfilt", "plan", pairs, run, "--shard-size", 2)
    assert planned.out == f"{run}: 4 pairs in 2 shards\n"
    assert f"4 pairs in {pairs}" in planned.err
    ran = call("capfilt", "run", run, "--captioner", folder, "--filter", folder)
    assert ran.code == 0
    assert "2 of 2 shards are done: 1 decode_error, 3 ok" in ran.out
    selected = call("capfilt", "select", run, out, "--threshold", 0.0)
    assert "3 web, 3 synthetic pairs" in selected.out.replace("3 synthetic, 3 web", "3 web, 3 synthetic")
    assert call("capfilt", "report", run).out == f"{run / 'report.html'}\n"
    assert len(kept(out)) == 6

    once = call("capfilt", pairs, whole, "--model", folder, "--threshold", 0.0)
    assert once.code == 0
    assert "4 pictures will take about" in once.err
    assert kept(whole / "pairs") == kept(out)
    assert (whole / "run" / "report.html").is_file()
    again = call("capfilt", pairs, whole, "--captioner", folder, "--filter", folder, "--threshold", 0.0)
    assert again.code == 0
    assert "will take" not in again.err
    other = call("capfilt", pairs, whole, "--model", folder, "--seed", 1)
    assert other.code == 1
    assert "seed was 0 and is 1 now" in other.err


def test_keep_and_form_and_retry(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("capfilt", "plan", pairs, run)
    words = ("capfilt", "run", run, "--captioner", folder, "--filter", folder)
    assert call(*words).code == 0
    call("capfilt", "select", run, tmp_path / "web", "--keep", "none")
    assert {text for _, text in kept(tmp_path / "web")} == {"a picture of a", "a picture of b", "a picture of inside/c"}
    assert call("capfilt", "select", run, tmp_path / "tars", "--form", "tar").code == 0
    assert [path.name for path in (tmp_path / "tars").glob("*.tar")] == ["000000.tar"]
    (pairs / "broken.png").write_bytes((pairs / "a.png").read_bytes())
    said = call(*words, "--retry", "status=decode_eror")
    assert "did you mean 'decode_error'?" in said.err
    assert said.code == 1


def test_what_is_missing_is_said(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    for words, told in (
        (("plan", tmp_path / "nowhere", tmp_path / "run"), "nowhere does not exist"),
        (("run", tmp_path, "--captioner", folder, "--filter", folder), "holds no manifest.json"),
        (("select", tmp_path, tmp_path / "out"), "holds no manifest.json"),
        (("report", tmp_path), "holds no manifest.json"),
        ((pairs, tmp_path / "out", "--model", "no/model"), "there is no folder 'no/model'"),
        ((pairs, tmp_path / "out", "--model", folder, "--top-p", 3), "top_p"),
    ):
        said = call("capfilt", *words)
        assert said.code == 1
        assert told in said.err.splitlines()[-1]
