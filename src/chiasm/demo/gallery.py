"""Pictures with what the web says and what the captioner says, and what the filter made of both."""

from collections.abc import Iterator, Sequence

from chiasm.demo.results import Example
from chiasm.demo.tables import NOISE
from chiasm.report.markup import Content, Html, Tone, badge, element, grid, heading, join, picture, remarks

GROUPS = {
    "Web text dropped, new text kept": (False, True),
    "Both kept": (True, True),
    "Web text kept, new text dropped": (True, False),
    "Both dropped": (False, False),
}


def gallery(examples: Sequence[Example]) -> Iterator[Content]:
    """A grid of cards for each outcome that occurs."""
    for title, outcome in GROUPS.items():
        members = [one for one in examples if (one.web_kept, one.synthetic_kept) == outcome]
        if members:
            yield heading(title)
            yield grid(*map(_card, members))


def _card(one: Example) -> Html:
    web = _judged(one.web, one.web_probability, kept=one.web_kept, flaw=one.noise)
    flaw = {None: None, True: "", False: "wrong"}[one.synthetic_right]
    new = _judged(one.synthetic, one.synthetic_probability, kept=one.synthetic_kept, flaw=flaw)
    shown = picture(one.picture, f"picture with the web text: {one.web}")
    return join(shown, remarks([("web text", web), ("new text", new)]))


def _judged(text: str, probability: float, *, kept: bool, flaw: str | None) -> Html:
    """A text, the filter's decision, and the truth where it is known: "" is no flaw."""
    badges = [badge(f"{'kept' if kept else 'dropped'} at {probability:.2f}", Tone.GOOD if kept else Tone.BAD)]
    if flaw is not None:
        badges.append(badge(NOISE.get(flaw, flaw)))
        if kept == bool(flaw):
            badges.append(badge("the filter erred", Tone.NOTE))
    return join(text, element("br"), *badges)
