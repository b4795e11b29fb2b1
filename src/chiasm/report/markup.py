"""Markup that cannot be broken into: texts come from the web, so every string is escaped on its way in."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape

VOID = {"img", "br", "meta"}
SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True)
class Html:
    """Finished markup; any other string still has to be escaped."""

    markup: str


Content = str | Html


class Tone(Enum):
    """How something is to be taken; the value is its class in the style sheet."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    NOTE = "note"


def element(tag: str, *children: Content, **attributes: str) -> Html:
    """`element("p", "a < b", class_="lead")` is `<p class="lead">a &lt; b</p>`."""
    words = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    if tag in VOID:
        return Html(f"<{tag}{words}>")
    return Html(f"<{tag}{words}>{join(*children).markup}</{tag}>")


def join(*children: Content) -> Html:
    """Pieces one after the other."""
    return Html("".join(child.markup if isinstance(child, Html) else escape(child) for child in children))


def heading(text: str) -> Html:
    """A title inside a section."""
    return element("h3", text)


def paragraph(*children: Content) -> Html:
    """Running text."""
    return element("p", *children)


def strong(*children: Content) -> Html:
    """What the eye should find first."""
    return element("strong", *children)


def code(text: str) -> Html:
    """What one types, or what a machine calls itself."""
    return element("code", text)


def command(text: str) -> Html:
    """A line to copy into a terminal."""
    return element("pre", code(text))


def link(text: Content, address: str) -> Html:
    """A way to another page, or to a place on this one."""
    if not address.startswith(("https://", "#")):
        raise ValueError(f"a link leads to https:// or to a #place on the page, but this one to {address!r}")
    return element("a", text, href=address)


def bullets(*items: Content) -> Html:
    """A list in no order."""
    return element("ul", *(element("li", item) for item in items))


def steps(*items: Content) -> Html:
    """What was done, in order, side by side."""
    return element("ol", *(element("li", item) for item in items), class_="steps")


def badge(text: str, tone: Tone = Tone.PLAIN) -> Html:
    """A word in a coloured pill; the word says it all, the colour only helps."""
    return element("span", text, class_=f"badge {tone.value}")


def callout(*children: Content, tone: Tone = Tone.NOTE) -> Html:
    """What must not be overlooked."""
    return element("div", *children, class_=f"callout {tone.value}")


def details(summary: Content, *children: Content) -> Html:
    """Something that opens on a click, and is open on paper."""
    return element("details", element("summary", summary), *children)


def figures(*children: Content) -> Html:
    """Figures side by side where there is room."""
    return element("div", *children, class_="figures")


def figure(drawing: Content, caption: Content) -> Html:
    """A drawing and what is to be seen in it."""
    return element("figure", drawing, element("figcaption", caption))


def facts(entries: Sequence[tuple[str, str]]) -> Html:
    """Large numbers, each over the words that say what it counts."""
    cards = (element("div", element("b", value), element("span", label)) for label, value in entries)
    return element("div", *cards, class_="facts")


def grid(*cells: Content) -> Html:
    """Cards in as many columns as fit."""
    return element("div", *(element("div", cell, class_="card") for cell in cells), class_="grid")


def remarks(entries: Sequence[tuple[str, Content]]) -> Html:
    """What there is to say on a card, each under a small heading."""
    lines = (join(element("dt", name), element("dd", content)) for name, content in entries)
    return element("dl", *lines)


def picture(data: bytes, description: str) -> Html:
    """A PNG or JPEG file that travels inside the page."""
    kinds = [kind for signature, kind in SIGNATURES.items() if data.startswith(signature)]
    if not kinds:
        raise ValueError(f"a page shows PNG and JPEG files, but the picture {description!r} is neither")
    address = f"data:{kinds[0]};base64,{base64.b64encode(data).decode()}"
    return element("img", src=address, alt=description)
