"""A sample for a person, and what comes back: against counts by hand."""

import csv
import re
from pathlib import Path

import pytest
from capfilt_fakes import load, open_lines, plain_rows, write_source

from chiasm.bootstrap.agreement import agreement
from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.review import COLUMNS, review
from chiasm.bootstrap.run import run
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = plain_rows(60)
    rows[4]["image"], rows[5]["tags"], rows[6]["text"] = "broken", {"human": True}, "=1+1"
    rows[7]["text"] = "<script>alert('x')</script>"
    write_source(tmp_path / "source", rows)
    plan(tmp_path / "source", tmp_path / "run", shard_size=16, opened=open_lines)
    run(tmp_path / "run", Settings(captioner="model", filter="model"), load=load, opened=open_lines)
    return tmp_path / "run"


def read(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(newline="") as opened:
        return list(csv.DictReader(opened))


def fill(sheet: Path, rows: list[dict[str, str]]) -> None:
    with sheet.open("w", newline="") as opened:
        write = csv.DictWriter(opened, COLUMNS)
        write.writeheader()
        write.writerows(rows)


def test_the_sample_is_of_every_kind_and_shown_with_its_pictures(folder: Path, tmp_path: Path) -> None:
    sheet = review(folder, tmp_path / "out", sample=9, opened=open_lines)
    rows, page = read(sheet), (tmp_path / "out/review.html").read_text()
    store = Store(folder)
    web = {row.id: row for shard, done in store.finished() for row in store.rows(shard, done)}
    judged = [row for row in web.values() if row.web_itm is not None]
    kept = sum(row.web_itm >= 0.5 for row in judged)
    assert [row["number"] for row in rows] == [str(i + 1) for i in range(36)]
    assert {row["decision"] for row in rows} == {f"{d} {o}" for d in ("kept", "dropped") for o in ("web", "synthetic")}
    assert {row["of"] for row in rows if row["decision"] == "kept web"} == {str(kept)}
    assert {row["of"] for row in rows if row["decision"] == "dropped web"} == {str(len(judged) - kept)}
    for row in rows:
        said = web[row["id"]]
        text, score = (
            (said.web, said.web_itm) if "web" in row["decision"] else (said.synthetic[0].text, said.synthetic[0].itm)
        )
        assert row["text"] == ("'=1+1" if text == "=1+1" else text)
        assert float(row["probability"]) == pytest.approx(score, abs=1e-4)
        assert row["decision"].startswith("kept" if score >= 0.5 else "dropped")
        assert row["right"] == ""
    assert len({row["decision"] for row in rows[:9]}) > 1  # in no order
    assert page.count("data:image/jpeg;base64,") >= 36
    assert "Status decode_error" in page
    assert "Status human" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_same_seed_draws_the_same_and_another_one_others(folder: Path, tmp_path: Path) -> None:
    sheets = [
        review(folder, tmp_path / str(i), sample=5, seed=seed, opened=open_lines) for i, seed in enumerate((0, 0, 1))
    ]
    same, again, other = (sheet.read_bytes() for sheet in sheets)
    assert same == again != other
    assert (tmp_path / "0/review.html").read_bytes() == (tmp_path / "1/review.html").read_bytes()
    with pytest.raises(ValueError, match="may hold a person's work"):
        review(folder, tmp_path / "0", opened=open_lines)


def test_a_person_agrees_as_counted_by_hand(folder: Path, tmp_path: Path) -> None:
    """All texts are drawn, so precision and recall are those of the run."""
    sheet = review(folder, tmp_path / "out", sample=1000, opened=open_lines)
    rows = read(sheet)
    right = {row["number"]: int(row["number"]) % 3 != 0 for row in rows}
    fill(sheet, [row | {"right": "yes" if right[row["number"]] else " No "} for row in rows])
    web, synthetic = agreement(sheet)
    for one in (web, synthetic):
        own = [row for row in rows if row["decision"].endswith(one.origin)]
        kept = [right[row["number"]] for row in own if row["decision"].startswith("kept")]
        assert one.judged == len(own)
        assert one.precision is not None
        assert one.recall is not None
        assert one.precision.value == pytest.approx(sum(kept) / len(kept))
        assert one.recall.value == pytest.approx(sum(kept) / sum(right[row["number"]] for row in own))
        assert one.precision.low < one.precision.value < one.precision.high
        assert one.recall.low < one.recall.value < one.recall.high


def test_recall_weighs_kinds_by_how_many_they_are(tmp_path: Path) -> None:
    sheet = tmp_path / "review.csv"
    lines = ["kept web,900,yes"] * 10 + ["dropped web,100,no"] * 8 + ["dropped web,100,yes"] * 2
    sheet.write_text("\ufeffnumber,decision,of,right\n" + "".join(f"{i},{line}\n" for i, line in enumerate(lines)))
    (web,) = agreement(sheet)
    assert web.recall is not None
    assert web.precision is not None
    assert web.recall.value == pytest.approx(900 / 920)
    assert (web.precision.value, web.precision.high) == (1.0, pytest.approx(1.0, abs=1e-3))
    assert web.precision.low < 0.9  # ten of ten are no proof
    sheet.write_text(sheet.read_text().replace(",", ";"))
    assert agreement(sheet) == [web]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "no column decision, number, of, right"),
        ("number,decision,of,right\n1,kept web,3,\n", "is empty"),
        ("number,decision,of,right\n1,kept web,3,perhaps\n", "number 1 .* answered by 'perhaps'"),
    ],
)
def test_sheets_that_say_nothing(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "review.csv").write_text(text)
    with pytest.raises(ValueError, match=told):
        agreement(tmp_path / "review.csv")


def test_a_filter_without_a_matching_head_leaves_nothing_to_judge(tmp_path: Path) -> None:
    write_source(tmp_path / "source", plain_rows(3))
    plan(tmp_path / "source", tmp_path / "run", opened=open_lines)
    run(tmp_path / "run", Settings(captioner="model", filter="contrast"), load=load, opened=open_lines)
    with pytest.raises(ValueError, match="nothing to be judged"):
        review(tmp_path / "run", tmp_path / "out", opened=open_lines)
