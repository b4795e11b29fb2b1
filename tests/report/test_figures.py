"""Figures are the same bytes every time, wear the page's colours, and keep texts as texts."""

import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from chiasm.report import figures
from chiasm.report.figures import Bar
from chiasm.report.markup import Html

HOSTILE = "<script>$x_1$"
LINE = ((0.0, 0.0), (0.3, 0.8), (1.0, 1.0))
DRAWN: dict[str, Callable[[], Html]] = {
    "roc": lambda: figures.roc({"web": LINE, HOSTILE: LINE}),
    "histogram": lambda: figures.histogram({"right": [1, 2, 3], HOSTILE: [0, 0, 0]}, label="match", threshold=0.5),
    "distribution": lambda: figures.distribution(["0", HOSTILE, "2", "3"], [5, 0, 7], label=HOSTILE),
    "curves": lambda: figures.curves({"loss": {"run": LINE, HOSTILE: LINE}, "other": {"run": LINE}}),
    "bars": lambda: figures.bars(["a", HOSTILE], {"x": [Bar(1.0, 0.5, 2.0), Bar(2.0, 1.0, 3.0)]}, label="share"),
}


@pytest.fixture(scope="module", params=DRAWN)
def drawn(request: pytest.FixtureRequest) -> tuple[Html, Html]:
    """Two drawings of the same figure."""
    return DRAWN[request.param](), DRAWN[request.param]()


def test_the_same_bytes_every_time(drawn: tuple[Html, Html]) -> None:
    assert drawn[0] == drawn[1]


def test_it_is_svg_without_scripts_styles_or_numbered_names(drawn: tuple[Html, Html]) -> None:
    text = drawn[0].markup.replace("xlink:href", "href")
    tags = {re.sub(r"\{.*\}", "", node.tag) for node in ET.fromstring(text).iter()}  # noqa: S314 (our own bytes)
    assert "svg" in tags
    assert not {"script", "style", "metadata", "image", "foreignObject"} & tags
    assert not re.search(r' id="\w+_\d+"', text)


def test_texts_are_texts_and_no_formulas(drawn: tuple[Html, Html]) -> None:
    assert "&lt;script&gt;$x_1$" in drawn[0].markup


def test_colours_are_the_pages(drawn: tuple[Html, Html]) -> None:
    text = drawn[0].markup
    assert "var(--series-1)" in text
    assert "var(--soft)" in text
    assert not re.search(r"(fill|stroke): #(?!0{6}|f{6})", text)


def test_matplotlib_is_left_as_it_was() -> None:
    before = dict(mpl.rcParams)
    figures.roc({"web": LINE})
    assert dict(mpl.rcParams) == before


def test_two_figures_of_a_page_have_no_clip_path_of_different_content_in_common() -> None:
    found: dict[str, str] = {}
    for draw in DRAWN.values():
        for name, content in re.findall(r'<clipPath id="(\w+)">(.*?)</clipPath>', draw().markup, flags=re.DOTALL):
            assert found.setdefault(name, content) == content
    assert found


def test_more_runs_than_colours_differ_in_their_dashes() -> None:
    text = figures.curves({"loss": {f"run {i}": LINE for i in range(9)}}).markup
    assert "stroke-dasharray" in text


@pytest.mark.parametrize(("edges", "named"), [(2, 1), (17, 5), (60, 8)])
def test_a_distribution_names_as_many_edges_as_fit(edges: int, named: int) -> None:
    drawn = figures.distribution([f"e{i}." for i in range(edges)], [1] * (edges - 1), label="size").markup
    found = [int(number) for number in re.findall(r"e(\d+)\.", drawn)]
    assert len(found) == named
    assert found[0] == 0
    assert all(number % 2 == 0 for number in found)
