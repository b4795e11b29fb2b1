"""CapFilt in steps and in one go come to the same pairs."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chiasm.bootstrap.manifest import Shard
from chiasm.bootstrap.worker import Worker

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
    assert said.code == 2


def test_what_is_missing_is_said(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    planned = tmp_path / "planned"
    call("capfilt", "plan", pairs, planned)
    for words, told in (
        (("plan", tmp_path / "nowhere", tmp_path / "run"), "nowhere does not exist"),
        (("run", tmp_path, "--captioner", folder, "--filter", folder), "holds no manifest.json"),
        (("select", tmp_path, tmp_path / "out"), "holds no manifest.json"),
        (("report", tmp_path), "holds no manifest.json"),
        (("select", planned, tmp_path / "out"), "is planned but was never run"),
        ((pairs, tmp_path / "out", "--model", "no/model"), "there is no folder 'no/model'"),
        ((pairs, tmp_path / "out", "--model", folder, "--top-p", 3), "top_p"),
    ):
        said = call("capfilt", *words)
        assert said.code == 1
        assert told in said.err.splitlines()[-1]


def test_jobs_prompts_and_choosing(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("capfilt", "plan", pairs, run, "--shard-size", 1)
    words = ("capfilt", "run", run, "--captioner", folder, "--filter", folder, "--captions", 2, "--num-jobs", 2)
    words = (*words, "--prompt", "a picture of", "--prompt", "")
    first = call(*words, "--job-index", 0)
    assert "2 of 2 shards are done" in first.out
    assert "2 pictures will take about" in first.err
    early = call("capfilt", "select", run, tmp_path / "early", "--keep", "captioner")
    assert "2 shards are not done yet: 1, 3" in early.out
    assert call(*words, "--job-index", 1).code == 0
    again = call(*words, "--job-index", 1)
    assert "will take" not in again.err
    wrong = call(*words, "--job-index", 2)
    assert (wrong.code, "jobs are numbered from 0" in wrong.err) == (2, True)
    call("capfilt", "select", run, tmp_path / "all", "--keep", "captioner")
    names = {name for name, _ in kept(tmp_path / "all")}
    assert "a.png#web" in names
    assert len(names) == 3 * (1 + 4)
    best = call("capfilt", "select", run, tmp_path / "best", "--keep", "captioner", "--best", 1, "--by", "itc")
    assert best.code == 0
    assert len(kept(tmp_path / "best")) == 3
    none = call("capfilt", "select", run, tmp_path / "large", "--min-side", 100_000)
    assert "no pairs" in none.out
    assert "without telling languages" in call("capfilt", "select", run, tmp_path / "en", "--language", "en").err


def test_a_quarantined_shard_has_an_exit_code(
    call: Call, folder: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    call("capfilt", "plan", pairs, run, "--shard-size", 2)
    words = ("capfilt", "run", run, "--captioner", folder, "--filter", folder, "--attempts", 1)
    real = Worker.work

    def stumble(self: Worker, shard: Shard) -> None:
        if shard.id == 1:
            raise RuntimeError("no good")
        real(self, shard)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "work", stumble)
        said = call(*words)
    assert said.code == 3
    assert "1 of 2 shards are done" in said.out
    assert "shards 1 failed again and again" in said.err
    other = call(*words, "--retry", "status=quarantined", "--seed", 1)
    assert "seed was 0 and is 1 now" in other.err
    assert (run / "000001.attempts").exists()  # nothing was opened again
    assert call(*words, "--retry", "status=quarantined").code == 0


def test_a_review(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "review"
    call("capfilt", "plan", pairs, run)
    call("capfilt", "run", run, "--captioner", folder, "--filter", folder)
    assert "shows the texts" in call("capfilt", "review", run, out, "--sample", 3).out
    assert "may hold a person's work" in call("capfilt", "review", run, out).err
    sheet = out / "review.csv"
    assert "is empty" in call("capfilt", "agreement", sheet).err
    header, *rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([header, *(f"{row}yes" for row in rows)]))
    told = call("capfilt", "agreement", sheet)
    assert told.code == 0
    assert "web: 3 texts judged; " in told.out
