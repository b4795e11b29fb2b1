"""Nothing that comes from the web leaves its place in a page."""

import base64
from html import unescape

import pytest

from chiasm.report import markup
from chiasm.report.markup import Html, element, join, link, picture

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title><svg onload=alert(1)>",
    "&lt;script&gt;",
)


@pytest.mark.parametrize("text", ATTACKS)
def test_text_stays_text(text: str) -> None:
    inside = element("p", text).markup.removeprefix("<p>").removesuffix("</p>")
    assert not set(inside) & set("<>\"'")
    assert unescape(inside) == text


@pytest.mark.parametrize("text", ATTACKS)
def test_attributes_stay_attributes(text: str) -> None:
    inside = element("p", title=text).markup.removeprefix('<p title="').removesuffix('"></p>')
    assert not set(inside) & set("<>\"'")
    assert unescape(inside) == text


@pytest.mark.parametrize("text", ATTACKS)
def test_every_part_of_a_page_escapes(text: str) -> None:
    png = b"\x89PNG\r\n\x1a\n"
    parts = [
        markup.paragraph(text), markup.heading(text), markup.strong(text), markup.code(text), markup.command(text),
        markup.bullets(text), markup.steps(text), markup.badge(text), markup.callout(text), markup.details(text, text),
        markup.figure(text, text), markup.figures(text), markup.facts([(text, text)]), markup.remarks([(text, text)]),
        markup.grid(text), markup.link(text, "#here"), markup.picture(png, text),
    ]  # fmt: skip
    for part in parts:
        assert "<script" not in part.markup
        assert "<img src=x" not in part.markup
        assert "<svg" not in part.markup
        assert "' onmouse" not in part.markup


def test_finished_markup_passes() -> None:
    assert join("a < b", Html("<b>c</b>")).markup == "a &lt; b<b>c</b>"
    assert element("img", src="x", aria_label="y", class_="z").markup == '<img src="x" aria-label="y" class="z">'


def test_links_lead_to_pages_only() -> None:
    assert link("x", "#place").markup == '<a href="#place">x</a>'
    for address in ("javascript:alert(1)", "http://x", "data:text/html,x"):
        with pytest.raises(ValueError, match="a link leads to https"):
            link("x", address)


def test_pictures_travel_inside() -> None:
    png, jpeg = b"\x89PNG\r\n\x1a\nrest", b"\xff\xd8\xffrest"
    assert f"data:image/png;base64,{base64.b64encode(png).decode()}" in picture(png, "a").markup
    assert "data:image/jpeg;base64," in picture(jpeg, "a").markup
    with pytest.raises(ValueError, match="PNG and JPEG"):
        picture(b"<svg onload=alert(1)>", "a")
