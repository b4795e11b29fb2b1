"""The demo, step by step on a handful of pairs, and whole, killed and started again."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import chiasm
from chiasm.data.pairs import Pair
from chiasm.data.sources import open_source
from chiasm.data.sources.world import PRESETS, WorldPairs, parse, single
from chiasm.demo import experiment, options
from chiasm.demo.judge import counted, judge
from chiasm.demo.measure import measure
from chiasm.demo.options import Budget, DemoOptions
from chiasm.demo.pictures import pictures
from chiasm.demo.pool import Event
from chiasm.demo.results import FOUR, from_json
from chiasm.demo.steps import do, jobs

HANDFUL = Budget(web=40, human=20, test=10, steps=3, tune=2)


@pytest.fixture
def handful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "BUDGETS", {1: HANDFUL})


def _in_process(asked: DemoOptions, on_event: Callable[[Event], None]) -> None:
    """What the pool does, without processes."""
    needs = {job.name: job.needs for job in jobs(asked).values()}
    for seed in range(asked.seeds):
        for name in TopologicalSorter(needs).static_order():
            do(asked, seed, name, lambda step, steps, name=name, seed=seed: on_event(Event(seed, name, step, steps)))


@pytest.mark.usefixtures("handful")
@pytest.mark.parametrize("ablations", [False, True])
def test_the_whole_experiment_on_a_handful(*, ablations: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "work", _in_process)
    asked = DemoOptions(out=tmp_path / "demo", minutes=1, workers=1, ablations=ablations)
    report = experiment.run(asked)
    found = from_json((tmp_path / "demo" / "results.json").read_text())
    assert [row.name for row in found.rows] == list(FOUR)
    assert found.command == "chiasm demo --minutes 1" + " --ablations" * ablations
    none, both = found.rows[0], found.rows[-1]
    assert (none.pairs.web, none.pairs.synthetic, none.pairs.human) == (40, 0, 20)
    assert both.pairs.human == 20
    assert none.noise_left == pytest.approx(_wrong(asked) / 60)
    assert len(found.ablations) == 3 * ablations
    assert "data:image/png" in report.read_text()
    for model in ("pretrain", "train-both"):
        assert chiasm.load(tmp_path / "demo" / "seed-0" / model).caption(np.zeros((32, 32, 3), dtype=np.uint8))
    assert len(open_source(tmp_path / "demo" / "seed-0" / "clean")) == both.pairs.web + both.pairs.synthetic + 20
    shown = sorted((tmp_path / "demo" / "pictures").iterdir())
    assert len(chiasm.load(tmp_path / "demo" / "seed-0" / "train-both").caption(shown)) == len(shown) > 1
    first = report.read_bytes()
    assert experiment.run(asked).read_bytes() == first


def _wrong(asked: DemoOptions) -> int:
    web = pictures(asked, 0).web
    return sum(bool(web[i].tags["noise"]) for i in range(len(web)))


@pytest.mark.usefixtures("handful")
def test_more_seeds_go_on_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "work", _in_process)
    asked = DemoOptions(out=tmp_path / "demo", minutes=1, workers=1)
    experiment.run(asked)
    one = from_json((tmp_path / "demo" / "results.json").read_text())
    experiment.run(replace(asked, seeds=2))
    two = from_json((tmp_path / "demo" / "results.json").read_text())
    assert one.rows == tuple(row for row in two.rows if row.seed == 0)
    assert {row.seed for row in two.rows} == {0, 1}


@pytest.mark.usefixtures("handful")
def test_other_options_on_an_old_folder_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "work", lambda *_: None)
    monkeypatch.setattr(experiment, "results", lambda *_: pytest.skip("begun"))
    with pytest.raises(pytest.skip.Exception):
        experiment.run(DemoOptions(out=tmp_path, minutes=1))
    with pytest.raises(ValueError, match=r"noise was 0\.5 and is 0\.4 now"):
        experiment.run(DemoOptions(out=tmp_path, minutes=1, noise=0.4))


def test_a_misspelt_world_begins_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'single'"):
        experiment.run(DemoOptions(out=tmp_path / "demo", world="singel"))
    assert not (tmp_path / "demo").exists()
    assert set(options.WORLDS) == set(PRESETS)


def test_minutes_choose_the_largest_budget_that_fits() -> None:
    assert DemoOptions(minutes=29).budget is options.BUDGETS[15]
    assert [budget.steps for budget in options.BUDGETS.values()] == sorted(
        budget.steps for budget in options.BUDGETS.values()
    )


@pytest.mark.parametrize(
    ("wrong", "said"), [({"minutes": 0}, "minutes must be at least 1"), ({"noise": 1.0}, "noise is the share")]
)
def test_options_that_make_no_sense(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DemoOptions(**wrong)


def test_unknown_pictures_and_worlds_are_named() -> None:
    with pytest.raises(ValueError, match="neither 'made' nor 'emoji' nor a folder"):
        DemoOptions(pictures="emojis")
    with pytest.raises(ValueError, match="did you mean 'single'"):
        DemoOptions(world="singel")


def _folder(path: Path, rows: int, *, marked: int) -> Path:
    path.mkdir()
    with (path / "captions.jsonl").open("w") as file:
        for row in range(rows):
            Image.new("RGB", (8, 8), (row, 0, 0)).save(path / f"{row}.png")
            told = {"image": f"{row}.png", "text": f"number {row}"} | ({"human": True} if row < marked else {})
            file.write(json.dumps(told) + "\n")
    return path


@pytest.mark.parametrize(("marked", "trusted"), [(30, 30), (0, 20)])
def test_a_users_folder_is_cut_into_parts_that_share_nothing(marked: int, trusted: int, tmp_path: Path) -> None:
    asked = DemoOptions(pictures=str(_folder(tmp_path / "own", 100, marked=marked)))
    made = pictures(asked, 0)
    parts = [{part[i].id for i in range(len(part))} for part in (made.web, made.human, made.tests["test"])]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 100
    assert len(parts[1]) + len(parts[2]) == trusted
    assert made.tests["test"].fingerprint != pictures(asked, 1).tests["test"].fingerprint


def test_a_folder_that_is_too_small_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="but the demo needs 10 of each"):
        pictures(DemoOptions(pictures=str(_folder(tmp_path / "own", 40, marked=0))), 0)


def test_measures_equal_a_plain_loop() -> None:
    model = chiasm.create("blip/tiny", seed=1)
    source = WorldPairs(single(), count=12, split="test")
    metrics, intervals = measure(model, {"t": source}, parse)
    pairs = [source[i] for i in range(12)]
    texts = [pair.text for pair in pairs]
    hits, exact = 0, 0
    for pair in pairs:
        found = model.match(pair.image, texts)
        scores = found.itm_logits[:, 1] + found.itc_cosine
        hits += texts[int(scores.argmax())] == pair.text
        exact += model.caption(pair.image).text == pair.text
    assert metrics["t/itm_tr@1"] == pytest.approx(hits / 12)
    assert metrics["t/caption_exact"] == pytest.approx(exact / 12)
    low, high = intervals["t/itm_tr@1"]
    assert low <= metrics["t/itm_tr@1"] <= high


def test_wrong_texts_are_counted_by_origin() -> None:
    def pair(text: str, **tags: object) -> Pair:
        return Pair("", b"", text, {"truth": "a red ring"} | tags)

    class Rows(list[Pair]):
        fingerprint = ""

    rows = [
        pair("a red ring", human=True, noise=""),
        pair("there is a red ring", noise=""),
        pair("buy now", noise="advert"),
        pair("A red ring", origin="synthetic"),
        pair("a blue ring", origin="synthetic"),
    ]
    pairs, wrong = counted(Rows(rows))
    assert (pairs.web, pairs.synthetic, pairs.human) == (2, 2, 1)
    assert wrong == pytest.approx(2 / 5)
    assert counted(Rows([Pair("", b"", "of a user", {})]))[1] is None


def _demo(out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "chiasm", "demo", "--minutes", "1", "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _digests(out: Path) -> dict[str, str]:
    """Everything but clocks: what is timed, and the report that shows it."""
    timed = {"report.html", "results.json", "table.md", "pace.jsonl"}
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in timed and path.parent.name != "clock"
    }


@pytest.mark.slow
def test_killed_again_and_again_it_ends_the_same(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert _demo(out).wait() == 0
    whole = _digests(out)
    shutil.rmtree(out)  # the same place again: side-cars name the models that made them
    rng, code = torch.Generator().manual_seed(0), -signal.SIGKILL
    while code == -signal.SIGKILL:
        process = _demo(out)
        deadline = time.monotonic() + 10 + 10 * torch.rand((), generator=rng).item()
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        code = process.wait()
    assert code == 0
    assert _digests(out) == whole


def test_judged_without_a_truth_shows_examples_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "BUDGETS", {1: HANDFUL})
    monkeypatch.setattr(experiment, "work", _in_process)
    own = _folder(tmp_path / "own", 120, marked=0)
    for name in ("3", "4", "5", "6"):
        (own / f"{name}.png").write_bytes((own / f"{name}.png").read_bytes()[:40])
    (own / "7.png").unlink()
    asked, notes = DemoOptions(out=tmp_path / "demo", minutes=1, pictures=str(own)), list[str]()
    report = experiment.run(asked, on_note=notes.append)
    first, last = notes
    assert first == f"119 pairs in {own}, 1 left out: 1 x the picture's file is missing (captions.jsonl:8)"
    assert last.startswith("pictures that could not be read: 4 x is not a picture")
    told = from_json((tmp_path / "demo" / "results.json").read_text()).settings
    assert (told["pairs"], f"{experiment.UNREAD}: {told[experiment.UNREAD]}") == (first, last)
    assert "119 pairs in " in report.read_text()
    assert len([*(tmp_path / "demo" / "pictures").glob("number-*.png")]) == 8
    verdicts = judge(tmp_path / "demo" / "seed-0" / "capfilt", 0)
    assert verdicts.filter is None
    assert verdicts.captioner is None
    assert verdicts.examples
    assert report.is_file()
