"""Killed anywhere and started again, a table ends in the bytes that it would have had."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chiasm.cli import journal as journals
from chiasm.cli.journal import Journal, Record, journal
from chiasm.cli.rows import Row, form_of
from chiasm.predictor.verbs import Predictor

from .conftest import Call

TABLE = pa.schema([("picture", pa.string()), ("vector", pa.list_(pa.float32(), 2)), ("error", pa.string())])
ROWS: list[Row] = [
    {
        "picture": f'{i}, "ü"\n\udcff.png',
        "vector": None if i % 5 == 4 else [i / 3, -i],
        "error": "odd" if i % 5 == 4 else None,
    }
    for i in range(24)
]
BATCH = 4
ASKED: dict[str, object] = {"prompt": "a", "words": ["x", "y"]}
ENDINGS = ["csv", "jsonl", "parquet"]


def begun(out: Path) -> Journal:
    """A table gone on with, of which nobody takes care any more."""
    form, record = form_of(out, TABLE), Record(out, ASKED)
    return Journal(out, form, record, record.read(form.journal(out)))


def add(table: Journal, batches: int) -> None:
    for _ in range(batches):
        start = table.position.done
        table.add(ROWS[start : start + BATCH], pictures=BATCH, broken=1)


def written(out: Path) -> bytes:
    """The table from wherever it is to its end."""
    with journal(out, form_of(out, TABLE), ASKED, of=len(ROWS)) as table:
        while table.position.done < len(ROWS):
            table.add(ROWS[table.position.done :][:BATCH], pictures=BATCH, broken=1)
    assert table.position.broken == len(ROWS) // BATCH
    assert {path.name for path in out.parent.iterdir()} == {out.name, f"{out.name}.run.json"}
    return out.read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("pause", [0.0, math.inf], ids=["saved", "unsaved"])
def test_killed_at_any_byte(ending: str, pause: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SAFE_EVERY", pause)
    (tmp_path / "whole").mkdir()
    whole = written(tmp_path / "whole" / f"out.{ending}")
    rng = np.random.default_rng(0)
    for case in range(12):
        out = tmp_path / str(case) / f"out.{ending}"
        table = begun(out)
        add(table, case % 6)
        if case % 2:
            table.save()
        table._file.close()
        with table.path.open("ab") as file:  # what a kill in the middle of a write leaves behind
            file.write(table.form.encode(ROWS[:BATCH])[: rng.integers(60)])
        kept = json.loads(table.record.path.read_text())["done"]
        assert kept == (case % 6 * BATCH if case % 2 or pause == 0 else 0)
        assert written(out) == whole


@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_between_the_last_row_and_the_end(ending: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = written(tmp_path / "whole" / f"out.{ending}")
    out = tmp_path / "more" / f"out.{ending}"
    table = begun(out)
    add(table, 6)
    table.save()
    table._file.close()
    assert written(out) == whole
    before = out.stat()
    assert written(out) == whole
    assert out.stat() == before, "a finished table is not touched"


def test_options_may_change_until_there_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = begun(tmp_path / "out.csv")
    table._file.close()
    monkeypatch.setitem(ASKED, "prompt", "b")
    assert b"odd" in written(tmp_path / "out.csv")
    monkeypatch.setitem(ASKED, "prompt", "c")
    with pytest.raises(ValueError, match="prompt was 'b' and is now 'c'"):
        written(tmp_path / "out.csv")


def test_forms_hold_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    written(tmp_path / "a" / "out.parquet")
    found = pq.read_table(tmp_path / "a" / "out.parquet")
    assert found.schema == TABLE
    assert found["error"].to_pylist() == [row["error"] for row in ROWS]
    assert [vector and vector[1] for vector in found["vector"].to_pylist()] == [
        row["vector"] and row["vector"][1] for row in ROWS
    ]
    (tmp_path / "b").mkdir()
    lines = written(tmp_path / "b" / "out.jsonl").decode().splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_other_options_are_named(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    words = ("caption", folder, pictures, "--out", out)
    assert call(*words).code == 0
    old = out.read_bytes(), out.stat()
    assert call(*words).code == 0
    assert (out.read_bytes(), out.stat()) == old
    said = call(*words, "--prompt", "a red", "--num-beams", 2)
    assert said.code == 1
    assert "begun with other options: num_beams was 3 and is now 2, prompt was '' and is now 'a red'" in said.err
    (pictures / "new.png").write_bytes((pictures / "a.png").read_bytes())
    assert "pictures was '4 (" in call(*words).err
    out.unlink()
    assert call(*words).code == 0
    out.with_name("out.csv.run.json").unlink()
    assert "no out.csv.run.json says of what it is" in call(*words).err


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_command_that_fails_half_way_goes_on(
    ending: str, call: Call, folder: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("caption", folder, pictures, "--batch-size", 2, "--strategy", "nucleus", "--out")
    assert call(*words, tmp_path / f"whole.{ending}").code == 0
    out, caption, asked = tmp_path / f"out.{ending}", Predictor.caption, list[int]()
    for dies_at in range(2):

        def die(*given: object, at: int = dies_at, **options: object) -> object:
            asked.append(at)
            if asked.count(at) > at:
                raise RuntimeError("killed")
            return caption(*given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Predictor, "caption", die)
            assert call(*words, out).code == 1
        assert out.with_name(f"{out.name}.run.json").exists() == (dies_at > 0)
    assert asked == [0, 1, 1]  # what is down is not asked for again
    assert call(*words, out).code == 0
    assert out.read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    record = json.loads(out.with_name(f"{out.name}.run.json").read_text())
    assert (record["done"], record["broken"]) == (4, 1)


# a batch takes a while, so that kills come between any two things that are done
SLOW = """
import sys, time
from chiasm.cli import asking, journal
from chiasm.cli.main import main

journal.SAFE_EVERY, batches = 0.05, asking.batches
asking.batches = lambda *given, **options: (time.sleep(0.03) or batch for batch in batches(*given, **options))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_sigkill(ending: str, call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    picture, rng, kills = (pictures / "a.png").read_bytes(), np.random.default_rng(0), 0
    for i in range(120):
        (pictures / f"{i:03}.png").write_bytes(picture[: 40 if i % 7 == 0 else None])
    words = ["caption", folder, pictures, "--batch-size", "3", "--out"]
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"out.{ending}"
    assert call(*words, whole).code == 0
    record = out.with_name(f"{out.name}.run.json")
    for _ in range(4):
        done = json.loads(record.read_text())["done"] if record.exists() else 0
        with subprocess.Popen([sys.executable, "-c", SLOW, *map(str, words), out], stderr=subprocess.DEVNULL) as child:
            while child.poll() is None and (not record.exists() or json.loads(record.read_text())["done"] <= done):
                time.sleep(0.01)
            time.sleep(0.2 * rng.random())
            kills += child.poll() is None
            child.kill()
    assert kills > 1
    assert call(*words, out).code == 0
    assert out.read_bytes() == whole.read_bytes()
