"""The best number of each column is marked, in HTML and in Markdown."""

import pytest

from chiasm.report.markup import Html
from chiasm.report.table import Better, Column, Number, Table, html, markdown


def number(value: float) -> Number:
    return Number(value, f"{value:.1f}")


TABLE = Table(
    [Column("model"), Column("R@1", "text", Better.HIGHER), Column("loss", "text", Better.LOWER), Column("texts")],
    [
        ["a", number(3.0), number(0.5), number(9.0)],
        ["b", Number(4.0, "4.0", "3 to 5"), number(0.5), number(1.0)],
        ["c", number(4.0), number(0.7), number(1.0)],
    ],
)


def test_the_best_of_each_column() -> None:
    assert TABLE.best() == ["", "4.0", "0.5", ""]
    assert html(TABLE).markup.count('class="best"') == 4
    assert '<td class="best">4.0<small>3 to 5</small></td>' in html(TABLE).markup


def test_where_all_are_equal_none_is_best() -> None:
    table = Table([Column("x"), Column("y", better=Better.HIGHER)], [["a", number(1.0)], ["b", number(1.0)]])
    assert table.best() == ["", ""]


def test_neighbours_share_a_heading() -> None:
    assert '<th colspan="2" scope="colgroup">text</th>' in html(TABLE).markup
    assert "colgroup" not in html(Table([Column("x"), Column("y")], [["a", "b"]])).markup


def test_markdown() -> None:
    assert markdown(TABLE).splitlines() == [
        "| model | text R@1 | text loss | texts |",
        "| --- | ---: | ---: | ---: |",
        "| a | 3.0 | **0.5** | 9.0 |",
        "| b | **4.0** (3 to 5) | **0.5** | 1.0 |",
        "| c | **4.0** | 0.7 | 1.0 |",
    ]


def test_hostile_text_breaks_no_table() -> None:
    table = Table([Column("x"), Column("y")], [["a|b\n| c |", "<script>"]])
    assert markdown(table).splitlines()[2] == r"| a\|b \| c \| | &lt;script&gt; |"
    assert "<script>" not in html(table).markup


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 columns has a row of 1"):
        Table([Column("x"), Column("y")], [["a"]])
    with pytest.raises(TypeError, match="Markdown takes words"):
        markdown(Table([Column("x")], [[Html("<b>")]]))
