"""A page that is one file: it opens offline, needs no script, and fetches nothing from anywhere."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chiasm.report.markup import Content, Html, element, join, link
from chiasm.report.style import CSS

# Should a hostile text ever slip through, a browser that reads this runs nothing and calls nobody.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A heading, which the page's menu leads to, and what stands below it."""

    title: str
    blocks: Sequence[Content]


def page(title: str, *, opening: Sequence[Content], sections: Sequence[Section], footer: Content) -> str:
    """The whole file: title, opening, a menu, the sections."""
    places = [f"part-{i}-{_slug(section.title)}" for i, section in enumerate(sections, 1)]
    menu = [link(section.title, f"#{place}") for section, place in zip(sections, places, strict=True)]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(CSS)),
    )
    body = element(
        "body",
        element("header", element("h1", title), *opening, element("nav", *menu)),
        element("main", *(_section(section, place) for section, place in zip(sections, places, strict=True))),
        element("footer", footer),
    )
    return "<!doctype html>\n" + element("html", head, "\n", body, lang="en").markup + "\n"


def lead(*children: Content) -> Html:
    """What the page is about, in a sentence or two, below its title."""
    return element("p", *children, class_="lead")


def _section(section: Section, place: str) -> Html:
    return join("\n", element("section", element("h2", section.title), *section.blocks, id=place))


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
