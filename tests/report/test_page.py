"""A page is one well-formed file that fetches nothing and runs nothing."""

from html.parser import HTMLParser

from chiasm.report.markup import VOID, paragraph
from chiasm.report.page import Section, lead, page


class Reader(HTMLParser):
    """Checks that tags close in order, and collects what it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


EXAMPLE = page(
    "A & <b>",
    opening=[lead("what it is about")],
    sections=[Section("The first", [paragraph("1")]), Section("<i>The</i> second", [paragraph("2")])],
    footer="the end",
)


def test_the_menu_leads_to_the_sections() -> None:
    tags = read(EXAMPLE).tags
    places = [words["id"] for tag, words in tags if tag == "section"]
    assert [words["href"] for tag, words in tags if tag == "a"] == [f"#{place}" for place in places]
    assert len(set(places)) == 2


def test_it_is_well_formed_and_escaped() -> None:
    assert EXAMPLE.startswith("<!doctype html>\n<html lang=")
    assert not {"b", "i"} & {tag for tag, _ in read(EXAMPLE).tags}
    assert "<title>A &amp; &lt;b&gt;</title>" in EXAMPLE


def test_it_runs_and_fetches_nothing() -> None:
    tags = read(EXAMPLE).tags
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, words in tags for name in words)
    policies = [words["content"] for tag, words in tags if words.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in str(policies[0])
    assert "url(" not in EXAMPLE
    assert "@import" not in EXAMPLE


def test_light_dark_and_paper() -> None:
    assert "@media (prefers-color-scheme: dark)" in EXAMPLE
    assert "@media print" in EXAMPLE
