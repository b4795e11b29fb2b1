"""The page of a run, and the numbers it is made of, against a plain loop over the side-cars."""

import re
from pathlib import Path
from typing import Any

import pytest
from capfilt_fakes import Model, load, open_lines, pixels, plain_rows, write_source
from PIL import Image

import chiasm
from chiasm.bootstrap.capfilt import bootstrap, capfilt
from chiasm.bootstrap.estimate import Estimate, estimate
from chiasm.bootstrap.manifest import Part, plan
from chiasm.bootstrap.policy import POLICIES
from chiasm.bootstrap.report import report
from chiasm.bootstrap.run import run
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Status
from chiasm.bootstrap.store import Store
from chiasm.bootstrap.tally import BINS, SHOWN, Tally, Verdicts
from chiasm.data.sources import open_source
from chiasm.data.text import clean

SETTINGS = Settings(captioner="model", filter="model", batch=4)


def noisy(folder: Path) -> Path:
    rows: list[dict[str, Any]] = plain_rows(40)
    for i, row in enumerate(rows):
        row["tags"] = {"noise": ("", "swapped", "advert")[i % 3]}
    rows[4]["image"], rows[5]["tags"], rows[6]["text"] = "broken", {"human": True}, ""
    rows[7]["text"] = "<script>alert('x')</script>"
    write_source(folder / "source", rows)
    plan(folder / "source", folder / "run", shard_size=16, opened=open_lines)
    return folder / "run"


def test_the_tally_says_what_a_slow_loop_says(tmp_path: Path) -> None:
    folder = noisy(tmp_path)
    run(folder, SETTINGS, load=load, opened=open_lines)
    store, tally = Store(folder), Tally(0.5)
    rows = [row for shard, done in store.finished() for row in store.rows(shard, done)]
    for index, row in enumerate(rows):
        tally.add(index, row)
    web = [row.web_itm for row in rows if row.web_itm is not None]
    assert tally.web.bins == [sum(i <= p * BINS < i + 1 for p in web) for i in range(BINS)]
    assert (tally.web.kept, tally.web.dropped) == (sum(p >= 0.5 for p in web), sum(p < 0.5 for p in web))
    swapped = [row.web_itm for row in rows if "swapped" in row.tags and row.web_itm is not None]
    assert tally.noise["swapped"].kept == sum(p >= 0.5 for p in swapped)
    assert set(tally.noise) == {"", "swapped", "advert"}
    assert tally.statuses == {Status.OK: 37, Status.DECODE_ERROR: 1, Status.HUMAN: 1, Status.EMPTY_TEXT: 1}
    dropped = sorted((row for row in rows if row.web_itm is not None and row.web_itm < 0.5), key=lambda r: -r.web_itc)
    assert [one.row for one in tally.near_but_dropped] == dropped[:SHOWN]
    both = [row for row in rows if row.web_itm is not None and row.synthetic]
    chosen = [row for row in both if row.web_itm < 0.5 <= row.synthetic[0].itm]
    verdicts = Verdicts(web=False, synthetic=True)
    assert tally.verdicts[verdicts] == len(chosen)
    assert [one.row for one in tally.examples[verdicts]] == sorted(chosen, key=lambda row: row.seed)[:SHOWN]


def test_the_page_shows_it_and_runs_nothing(tmp_path: Path) -> None:
    folder = noisy(tmp_path)
    run(folder, SETTINGS, load=load, opened=open_lines)
    path = report(folder, opened=open_lines)
    text = path.read_text()
    for told in ("swapped", "decode_error", "Near by contrast", "match probability", "data:image/jpeg;base64,", "p4"):
        assert told in text
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert path.parent == folder
    assert report(folder, opened=open_lines).read_text() == text


def test_the_page_of_an_unfinished_run_and_of_one_without_a_matching_head(tmp_path: Path) -> None:
    folder = noisy(tmp_path)
    run(folder, Settings(captioner="model", filter="contrast"), load=load, opened=open_lines)
    (folder / "000001.done").unlink()
    text = report(folder, opened=open_lines).read_text()
    assert "2 of 3 shards are done" in text
    assert "no matching head" in text


def test_an_estimate_multiplies_a_batch(tmp_path: Path) -> None:
    folder = noisy(tmp_path)
    batches: list[int] = []
    times = iter([10.0, 12.0])
    told = estimate(
        folder, SETTINGS, load=lambda _: Model(batches=batches), workers=2, opened=open_lines, clock=lambda: next(times)
    )
    assert batches in ([3], [4])  # one of the sample may be broken, or a person's
    assert (told.rows, told.sample, told.seconds) == (40, 4, 10 * 2.0 / 2)
    assert told.sidecar_bytes > 40 * 20
    assert told.pair_bytes > 40 * 60
    run(folder, SETTINGS, load=load, opened=open_lines)
    assert estimate(folder, SETTINGS, load=load, opened=open_lines) == Estimate(
        rows=0, sample=0, seconds=0.0, sidecar_bytes=0, pair_bytes=0
    )


def test_an_estimate_of_one_job_counts_its_own_shards(tmp_path: Path) -> None:
    told = estimate(noisy(tmp_path), SETTINGS, load=load, part=Part(1, 2), opened=open_lines)
    assert told.rows == 16


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of ten pictures, nine with a text, one of them broken."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(10):
        Image.fromarray(pixels(i)).save(folder / f"{i}.png")
        if i != 9:
            (folder / f"{i}.txt").write_text(f"web text {i}")
    (folder / "3.png").write_bytes(b"")
    return folder


def test_the_whole_of_it_in_one_call(tmp_path: Path, pictures: Path) -> None:
    heard: list[Estimate] = []
    done = bootstrap(pictures, tmp_path / "out", SETTINGS, load=load, announce=heard.append)
    assert heard[0].rows == 9
    assert done.summary.statuses == {"decode_error": 1, "ok": 8}
    assert done.report.exists()
    assert len(open_source(done.pairs)) == sum(done.kept.pairs.values()) > 0
    assert bootstrap(pictures, tmp_path / "out", SETTINGS, load=load) == done


class Contrary(Model):
    """Of two models that differ only by name."""


def test_models_that_are_there_already(tmp_path: Path, pictures: Path) -> None:
    """Any captioner and matcher, over any source, come to what their names would."""
    by_name = bootstrap(
        pictures, tmp_path / "a", Settings(captioner="captioner", filter="filter"), load=lambda _: Model()
    )
    heard: list[Estimate] = []
    given = capfilt(pictures, tmp_path / "b", captioner=Model(), filter=Contrary(), announce=heard.append)
    assert given.summary == by_name.summary
    assert read(given.pairs) == read(by_name.pairs)
    assert len(heard) == 1
    source = open_source(pictures)
    same = capfilt(source, tmp_path / "c", captioner=Model(), filter=Contrary())
    assert read(same.pairs) == read(by_name.pairs)
    one = Model()
    alike = Settings(captioner="one", filter="one")
    assert capfilt(source, tmp_path / "d", captioner=one, filter=one, settings=alike).summary.complete
    with pytest.raises(ValueError, match="two models, but both are called 'one'"):
        capfilt(source, tmp_path / "e", captioner=one, filter=Contrary(), settings=alike)


def test_a_predictor_does_both_jobs(tmp_path: Path, pictures: Path) -> None:
    model = chiasm.create("blip/tiny", device="cpu")
    how = Settings(captioner="m", filter="m", captions=2, prompts=("", "a picture of"), max_new_tokens=4)
    done = capfilt(
        pictures, tmp_path / "out", captioner=model, filter=model, settings=how, policy=POLICIES["captioner"]
    )
    assert done.summary.statuses["decode_error"] == 1
    store = Store(tmp_path / "out/run")
    rows = [row for shard, found in store.finished() for row in store.rows(shard, found) if row.hash is not None]
    picture = {f"{i}.png": pixels(i) for i in range(10)}
    for row in rows:
        for said in row.synthetic:
            alone = model.caption(
                picture[row.id], said.prompt, strategy="nucleus", top_p=0.9, seed=[said.seed], max_new_tokens=4
            )
            assert alone.text == said.text
            fit = model.match(picture[row.id], clean(said.text))
            if clean(said.text):
                assert said.itm == pytest.approx(fit.itm_prob.item(), abs=1e-4)
                assert said.itc == pytest.approx(fit.itc_cosine.item(), abs=1e-4)


def test_a_pair_that_a_model_stumbles_over_stops_no_estimate(tmp_path: Path, pictures: Path) -> None:
    (pictures / "0.txt").write_text("raise")
    heard: list[Estimate] = []
    done = bootstrap(pictures, tmp_path / "out", SETTINGS, load=load, announce=heard.append)
    assert (heard, done.summary.quarantined) == ([], (0,))


def read(folder: Path) -> list[tuple[str, str]]:
    """No pairs at all where nothing was kept."""
    source = open_source(folder)
    return [(pair.id, pair.text) for pair in map(source.__getitem__, range(len(source)))]
