"""Files of ours and of others, damaged at random: a command works, leaves things out, or says one sentence."""

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from chiasm.data.sources import open_source
from chiasm.data.writers import Form

from ..damage import damaged  # noqa: TID252 - tests are no package
from .conftest import Call, Said


def fine(said: Said) -> bool:
    """Done, or failed with a sentence of our own."""
    last = said.err.splitlines()[-1:] or [""]
    return said.code == 0 or (said.code in {1, 3} and last[0].startswith("chiasm: ") and "--debug" not in last[0])


@pytest.fixture
def pairs(pictures: Path) -> Path:
    for name in ("a", "b", "inside/c"):
        (pictures / f"{name}.txt").write_text(f"a picture of {name}, é")
    (pictures / "broken.json").write_text('{"text": "broken", "more": [1, {"deep": null}]}')
    return pictures


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_model(name: str, call: Call, folder: Path, tmp_path: Path) -> None:
    place, outcomes = tmp_path / "model", Counter[int]()
    shutil.copytree(folder, place)
    whole = (folder / name).read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little") if name == "model.safetensors" else len(whole)
    for number in range(20):
        (place / name).write_bytes(damaged(whole[:head], name, number) + whole[head:])
        said = call("embed", place, "--texts", "a red circle", "--out", tmp_path / "out.csv")
        assert fine(said), (number, said)
        outcomes[said.code] += 1
    assert outcomes[1] > 5
    (place / name).unlink()
    assert fine(call("embed", place, "--texts", "a red circle"))


@pytest.fixture
def run(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> Path:
    """A run that is done, with what was selected from it."""
    assert call("capfilt", "plan", pairs, tmp_path / "run", "--shard-size", 2).code == 0
    assert call("capfilt", "run", tmp_path / "run", "--captioner", folder, "--filter", folder).code == 0
    assert call("capfilt", "select", tmp_path / "run", tmp_path / "run" / "out", "--threshold", 0).code == 0
    return tmp_path / "run"


def test_a_damaged_run(call: Call, folder: Path, run: Path, tmp_path: Path) -> None:
    before = call("capfilt", "select", run, run / "out", "--threshold", 0).out.partition(": ")[2]
    outcomes = Counter[int]()
    files = sorted(path.relative_to(run) for path in run.rglob("*") if path.is_file() and path.parts[-2] != "out")
    for number in range(40):
        place, chance = tmp_path / f"copy-{number}", random.Random(number)  # noqa: S311
        shutil.copytree(run, place)
        victim = place / chance.choice(files)
        victim.write_bytes(damaged(victim.read_bytes(), number))
        for words in (
            ("select", place, place / "out", "--threshold", 0),
            ("report", place),
            ("run", place, "--captioner", folder, "--filter", folder),
        ):
            said = call("capfilt", *words)
            assert fine(said), (number, victim.name, said)
            outcomes[said.code] += 1
            if words[0] == "select" and said.code == 0 and "not done yet" not in said.out:
                assert said.out.partition(": ")[2] == before
        shutil.rmtree(place)
    assert outcomes[1] > 12


def test_a_record_whose_rows_are_another_number(call: Call, run: Path) -> None:
    path = run / "manifest.json"
    record = json.loads(path.read_bytes())
    for rows, told in ((2, "2 rows, but it has 4"), (0, "0 rows"), ("4", "rows cannot be '4'")):
        path.write_text(json.dumps(record | {"rows": rows}))
        said = call("capfilt", "select", run, run / "out", "--threshold", 0)
        assert said.code == 1
        assert told in said.err


def test_a_misspelt_model_does_not_hold_a_run(call: Call, folder: Path, pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("capfilt", "plan", pairs, run)
    assert call("capfilt", "run", run, "--captioner", tmp_path / "tyni", "--filter", folder).code == 1
    assert call("capfilt", "run", run, "--captioner", folder, "--filter", folder).code == 0


@pytest.mark.parametrize("kind", ["a.txt", "broken.json", "list.jsonl", "list.parquet", "list.tar"])
def test_damaged_pairs(kind: str, call: Call, pairs: Path, tmp_path: Path) -> None:
    if kind.startswith("list"):
        lines = [{"image": name, "text": "a picture, é", "id": name} for name in ("a.png", "b.jpg", "inside/c.png")]
        (pairs / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        listed = open_source(pairs / "list.jsonl")
        for form in Form:
            form.write([listed[i] for i in range(len(listed))], pairs / f"list.{form.value}")
    whole, place = (pairs / kind).read_bytes(), pairs / kind if kind.startswith("list") else pairs
    for number in range(60):
        (pairs / kind).write_bytes(damaged(whole, kind, number))
        said = call("capfilt", "plan", place, tmp_path / f"run-{number}")
        assert fine(said), (number, said)
        assert len(said.err.splitlines()) == 1
        assert (tmp_path / f"run-{number}").exists() == (said.code == 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1251", "shift-jis"])
def test_texts_in_other_alphabets(encoding: str, call: Call, pairs: Path, tmp_path: Path) -> None:
    text = {"latin-1": "Straße", "cp1251": "красный круг", "shift-jis": "赤い丸"}.get(encoding, "赤い丸 é")
    (pairs / "a.txt").write_bytes(text.encode(encoding))
    said = call("capfilt", "plan", pairs, tmp_path / "run")
    read = encoding.startswith("utf-8")
    assert said.out == f"{tmp_path / 'run'}: {4 if read else 3} pairs in 1 shards\n"
    assert ("1 x not UTF-8 (a.png)" in said.err) != read
    if read:
        source = open_source(pairs)
        assert text in [source[i].text for i in range(len(source))]
