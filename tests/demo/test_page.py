"""The report says what the results say, whatever is missing, and nothing that a web text would have it do."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_fakes

from chiasm.demo.page import document, render, write_report
from chiasm.demo.results import Results


class Words(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.said: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def without_figures(level: dict[str, float]) -> Results:
    """As little to draw as there can be."""
    return replace(report_fakes.results(level=level), curves={}, filters=(), examples=())


def words(results: Results) -> str:
    return "".join(Words(render(results)).said)


@pytest.fixture(scope="module")
def one_seed() -> Results:
    return report_fakes.results()


@pytest.fixture(scope="module")
def page(one_seed: Results) -> str:
    return render(one_seed)


@pytest.fixture(scope="module")
def said(page: str) -> str:
    return "".join(Words(page).said)


def test_two_files_and_the_same_bytes(one_seed: Results, page: str, tmp_path: Path) -> None:
    path = write_report(report_fakes.results(), tmp_path / "demo")
    assert path == tmp_path / "demo" / "report.html"
    assert path.read_text(encoding="utf-8") == page
    assert (tmp_path / "demo" / "table.md").read_text(encoding="utf-8") == document(one_seed)


def test_it_tells_the_numbers(one_seed: Results, said: str) -> None:
    row = one_seed.rows[3]
    for number in ("itc_tr@1", "itm_ir@5", "caption_exact", "caption_place"):
        assert f"{100 * row.metrics[f'test/{number}']:.1f}" in said
    assert "0.957" in said
    assert "chiasm demo --seeds 1" in said
    assert "95 % interval" in said
    assert "5.8 min" in said
    assert "all steps of 1 seed added up" in said


def test_it_says_when_the_papers_order_comes_out_and_when_not(said: str) -> None:
    assert "None of these numbers follows it." in said
    assert "That is the order of the paper." in words(without_figures(level=report_fakes.PUBLISHED))


def test_it_says_when_cleaning_did_not_help(page: str) -> None:
    worse = render(without_figures(level={"none": 0.5, "filter": 0.4, "captioner": 0.3, "both": 0.2}))
    assert "so cleaning did not help here" in worse
    assert 'class="callout good"' not in worse
    assert 'class="callout good"' in page


def test_several_seeds_and_test_sets() -> None:
    results = replace(report_fakes.results(seeds=3, tests=("known", "combinations", "unseen")), curves={})
    said = words(results)
    assert "the standard deviation over 3 seeds" in said
    for title in ("Known emoji, drawn anew", "Known parts in new combinations", "Emoji never seen"):
        assert title in said
        assert f"### {title}" in document(results)


def test_pictures_of_ones_own_have_no_flagged_noise(one_seed: Results, said: str) -> None:
    unknown = replace(
        one_seed,
        rows=tuple(replace(row, noise_left=None) for row in one_seed.rows),
        filters=(),
        captioners=(),
        curves={},
        examples=tuple(replace(one, noise=None, synthetic_right=None) for one in one_seed.examples),
    )
    said_now = words(unknown)
    assert "unknown" in said_now
    assert "AUC" not in said_now
    assert "the filter erred" not in said_now
    assert "the filter erred" in said


def test_only_rows_are_needed(one_seed: Results) -> None:
    bare = Results(command="chiasm demo", settings={}, rows=one_seed.rows[:2])
    page = Words(render(bare))
    assert "img" not in page.tags
    assert "Ablations" not in page.said
    assert "no cleaning" in document(bare)


def test_hostile_texts_stay_texts(one_seed: Results) -> None:
    attack = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    hostile = replace(
        one_seed,
        command=attack,
        settings={attack: attack},
        examples=(replace(one_seed.examples[0], web=attack, synthetic=attack, noise=attack),),
        curves={attack: next(iter(one_seed.curves.values()))},
        ablations=(replace(one_seed.ablations[0], title=attack, about=attack, rows={attack: {attack: 0.5}}),),
    )
    page = Words(render(hostile))
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert "".join(page.said).count("<script>alert(1)</script>") >= 8


def test_the_document_is_made_of_whole_tables(one_seed: Results) -> None:
    lines = document(one_seed).splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("| ---")]
    assert len(rules) == 7
    for i in rules:
        assert lines[i].count("|") == lines[i - 1].count("|") == lines[i + 1].count("|")
