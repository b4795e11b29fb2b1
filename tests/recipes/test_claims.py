"""Claims are measured by scripts: each runs two steps, prints its table, and does nothing twice."""

import importlib.util
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from chiasm.data.sources.chance import chance
from chiasm.data.sources.questions import questions
from chiasm.data.sources.world import open_world

CLAIMS = Path(__file__).parents[2] / "recipes/claims"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"claim_{name}", CLAIMS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    if str(CLAIMS) not in sys.path:  # as `python` does for a script
        sys.path.insert(0, str(CLAIMS))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("clip")
    options = claim.Options(out=tmp_path, seeds=1, steps=2, batch=8, pairs=40, tests=6)
    claim.main(options)
    table = capsys.readouterr().out
    lines = table.splitlines()
    assert len(lines) == 7
    assert {line.count("|") for line in lines} == {5}
    assert lines[-1] == "| chance | 2.1 ± 0.0 | 0.1 ± 0.0 | 0.1 ± 0.0 |"
    (tmp_path / "seed-0/paired/1-pretrain/metrics.jsonl").unlink()
    claim.main(options)
    assert capsys.readouterr().out == table
    assert not (tmp_path / "seed-0/paired/1-pretrain/metrics.jsonl").exists()


def test_labels_of_clip_are_said_of_their_pictures_only() -> None:
    claim = _script("clip")
    assert (len(claim.THINGS.labels), len(claim.SCENES.labels)) == (48, 864)
    assert len(set(claim.THINGS.ensemble)) == 54
    facts = {"size": "large", "colour": "red", "shape": "ring", "place": "top"}
    assert claim.THINGS.label(facts) == "red ring"
    assert claim.SCENES.label(facts) == "large red ring at the top"
    assert "there is a small {} at the top left" in claim.THINGS.ensemble


def test_albef(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("albef")
    options = claim.Options(out=tmp_path, seeds=1, steps=2, batch=8, pairs=40, tests=6)
    claim.main(options)
    table = capsys.readouterr().out
    lines = table.splitlines()
    assert len(lines) == 7
    assert {line.count("|") for line in lines} == {4}
    assert lines[2].startswith("| match + masked words |")
    assert lines[2].endswith(" - |")  # who never learned contrast has no cosines to rank by
    written = sorted(path.name for path in (tmp_path / "seed-0").glob("*.json"))
    assert len(written) == len(claim.ROWS) == 5
    (tmp_path / "seed-0" / "contrast/1-pretrain/metrics.jsonl").unlink()
    claim.main(options)
    assert capsys.readouterr().out == table
    assert not (tmp_path / "seed-0" / "contrast/1-pretrain/metrics.jsonl").exists()


def test_vqa(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("vqa")
    options = claim.Options(out=tmp_path, seeds=1, pretrain=2, steps=2, batch=8, pairs=40, tests=12)
    claim.main(options)
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 6
    assert {line.count("|") for line in table.splitlines()} == {7}
    (tmp_path / "seed-0/seeing/1-vqa/metrics.jsonl").unlink()
    claim.main(options)
    assert capsys.readouterr().out == table
    assert not (tmp_path / "seed-0/seeing/1-vqa/metrics.jsonl").exists()


def test_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("answers")
    options = claim.Options(out=tmp_path, seeds=1, steps=2, batch=8, pairs=40, tests=9)
    claim.main(options)
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 2 + len(claim.ROWS)
    assert {line.count("|") for line in table.splitlines()} == {6}
    (tmp_path / "seed-0/1-vqa/metrics.jsonl").unlink()
    claim.main(options)
    assert capsys.readouterr().out == table
    assert not (tmp_path / "seed-0/1-vqa/metrics.jsonl").exists()


def test_answers_come_often_once_or_never() -> None:
    claim = _script("answers")
    asked = claim.Asked(claim.open_world("world:single?count=1500"))
    answers = [asked[row].tags["answers"][0] for row in range(len(asked))]
    assert not any(answer.startswith("a ") for answer in answers)
    taught = Counter(answers[row] for row in claim.known(asked, 3))
    for often, count in Counter(answers).items():
        assert taught[often] == {"common": count, "once": 1, "never": 0}[claim.kind(often, 3)]
    kinds = Counter(claim.kind(answer, 3) for answer in set(answers))
    assert all(share > len(set(answers)) / 4 for share in kinds.values())
    assert len(kinds) == 3
    right = ["large red ring at the top", "small red ring at the top"]
    told = claim._shares([right[0], right[0]], right, 3)
    assert told["all"] == 0.5
    assert told[claim.kind(right[0], 3)] >= 0.5


@pytest.mark.slow
def test_blip2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("blip2")
    steps = {"see": 1, "words": 1, "align": 1, "generate": 6, "vqa": 6}
    options = claim.Options(out=tmp_path, seeds=(3,), batch=8, pairs=40, tests=8, **steps)
    claim.main(options)
    told = capsys.readouterr().out
    first, second, answers, share = told.strip().split("\n\n")
    for table, rows, columns in ((first, claim.FIRST, 2), (second, claim.SECOND, 11), (answers, claim.ASKED, 6)):
        lines = table.splitlines()
        assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [*rows]
        assert {line.count("|") for line in lines} == {columns + 2}
    assert share.endswith("the others are the same to the bit.")
    (tmp_path / "seed-3/without-the-first-stage/1-generate/pace.jsonl").unlink()
    claim.main(options)
    assert capsys.readouterr().out == told
    assert not (tmp_path / "seed-3/without-the-first-stage/1-generate/pace.jsonl").exists()


def test_what_blip2_reads_and_is_asked() -> None:
    claim = _script("blip2")
    lesson = claim.Lesson(claim.Options(pairs=30, tests=5), 0)
    captions, asked = lesson.learned
    read = [lesson.read["again"][row].text for row in range(90)]
    assert read[:30] == [pair.text for pair in captions.pairs]
    tags = asked[4].tags
    assert read[34] == f"{captions[4].text} question {tags['question']} answer {tags['answers'][0]}"
    begin = captions[7].text
    assert read[67].startswith(f"{begin} ")
    assert claim.parse(read[67].removeprefix(f"{begin} ")) == captions[7].tags["facts"]
    anew = claim.shuffled(captions)
    assert [pair.text for pair in anew.pairs] == [pair.text for pair in captions.pairs]
    assert sum(one.image is other.image for one, other in zip(anew.pairs, captions.pairs, strict=True)) < 10
    assert {id(pair.image) for pair in anew.pairs} == {id(pair.image) for pair in captions.pairs}


@pytest.mark.slow
def test_instructblip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("instructblip")
    few = dict.fromkeys(("see", "words", "align", "generate"), 2)
    options = claim.Options(
        out=tmp_path, seeds=(0,), queries=(1, 2), **few, instruct=4, batch=8, pairs=60, tests=30
    )  # fmt: skip
    claim.main(options)
    first, second = (table.splitlines() for table in capsys.readouterr().out.split("\n\n"))
    assert (len(first), len(second)) == (9, 6)
    assert {line.count("|") for line in first} == {8}
    assert {line.count("|") for line in second} == {6}
    (tmp_path / "seed-0/told-1/1-instruct/model/model.safetensors").unlink()
    claim.main(options)
    assert not (tmp_path / "seed-0/told-1/1-instruct/model/model.safetensors").exists()


def test_questions_about_regions_are_answered_by_where_things_are() -> None:
    claim, world = _script("regions"), open_world("world:pair?count=60")
    places = {
        "on the left": lambda things: min(things, key=lambda thing: thing.x),
        "on the right": lambda things: max(things, key=lambda thing: thing.x),
        "at the top": lambda things: min(things, key=lambda thing: thing.y),
        "at the bottom": lambda things: max(things, key=lambda thing: thing.y),
        "inside": lambda things: min(things, key=lambda thing: thing.radius),
        "around it": lambda things: max(things, key=lambda thing: thing.radius),
    }
    asked = [claim.region(world[row], chance("t", row)) for row in range(60)]
    seen = Counter[str]()
    for row, pair in enumerate(asked):
        field, place = re.fullmatch(r"what (\w+) is the thing (.*)\?", pair.tags["question"]).groups()
        assert pair.tags["answers"] == [getattr(places[place](world.scene(row).things), field)]
        assert pair.tags["kind"] == ("inside" if place in ("inside", "around it") else "side")
        seen.update((field, place))
    assert seen.keys() == {*places, "colour", "shape"}


def test_things_are_counted_as_the_world_counts_them() -> None:
    claim, world = _script("regions"), open_world("world:scene?count=60")
    for row in range(60):
        pair = claim.number(world[row], chance("t", row))
        known = {each.text: each.answer for each in questions(world.scene(row))}
        assert pair.tags["answers"] == [known[pair.tags["question"]]]


def test_what_was_found_by_other_options_is_not_shown(tmp_path: Path) -> None:
    claim, done = _script("measured"), tmp_path / "found.json"
    options = _script("xinstructblip").Options(out=tmp_path)
    assert claim.once(done, options, lambda: {"all": 1.0}) == {"all": 1.0}
    assert claim.once(done, replace(options, seeds=(7,)), dict) == {"all": 1.0}, "seeds change no exam"
    with pytest.raises(ValueError, match=r"found\.json was found by other options: use another --out"):
        claim.once(done, replace(options, tests=3), dict)


@pytest.mark.slow
def test_xinstructblip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claim = _script("xinstructblip")
    steps = dict.fromkeys(("see", "align", "words", "perceive", "speak"), 1)
    options = claim.Options(out=tmp_path, seeds=(0,), tests=6, world="single?count=12", **steps)
    claim.main(options)
    table = capsys.readouterr().out
    assert "| always the most usual answer | 50 ± 0 | 100 ± 0 | 67 ± 0 |" in table
    assert {line.count("|") for line in table.splitlines() if line} == {8}
    assert table.count("| both are shown |") == 3
    (log := tmp_path / "seed-0/common/1-words/metrics.jsonl").unlink()
    claim.main(options)
    assert capsys.readouterr().out == table
    assert not log.exists()
