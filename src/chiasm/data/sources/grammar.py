"""The made world's English: one table of frames that both says facts and reads them back.

A frame is a sentence with `{field}`s and `[optional parts]`, where every "a" is written "one":

    one [{size} ]{colour} {shape} at the {place}   <->   "an orange ring at the top left"

`parse(say(facts)) == facts` for all facts of pictures, in every phrasing, and `understand` reads besides what is
said of sounds, clouds of points and videos.
"""

import re
from collections.abc import Mapping
from functools import cache
from random import Random

Facts = dict[str, str]  # field -> value, such as {"colour": "red", "shape": "circle", "place": "top left"}

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "number": ("one", "two", "three", "four"),
    "size": ("small", "large"),
    "colour": ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown"),
    "shape": ("circle", "square", "triangle", "diamond", "star", "heart", "cross", "ring", "crescent", "hexagon"),
    "place": ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right"),
    "relation": ("left of", "right of", "above", "below", "inside"),
    "background": ("black", "grey", "white", "navy"),
    "order": ("before",),
    "motion": ("moving left", "moving right", "moving up", "moving down", "growing", "shrinking"),
}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above", "inside": "left of"}

THING = "[{size} ]{colour} {shape}"
OTHER = "[{other_size} ]{other_colour} {other_shape}"
GROUPS = f"{{number}} {THING} and {{other_number}} {OTHER}"
BACKGROUND = "[ on one {background} background]"
# Which frames fit is told by the first of these fields that the facts have; frame 0 is canonical.
FRAMES: dict[str, tuple[str, ...]] = {
    "place": (
        f"one {THING} at the {{place}}{BACKGROUND}",
        f"there is one {THING} at the {{place}}{BACKGROUND}",
        f"at the {{place}} we see one {THING}{BACKGROUND}",
        f"one picture of one {THING} at the {{place}}{BACKGROUND}",
    ),
    "relation": (
        f"one {THING} {{relation}} one {OTHER}{BACKGROUND}",
        f"there is one {THING} {{relation}} one {OTHER}{BACKGROUND}",
        f"one {THING} that is {{relation}} one {OTHER}{BACKGROUND}",
        f"one picture of one {THING} {{relation}} one {OTHER}{BACKGROUND}",
    ),
    "other_number": (
        f"{GROUPS}{BACKGROUND}",
        f"we see {GROUPS}{BACKGROUND}",
        f"one picture of {GROUPS}{BACKGROUND}",
        f"one picture with {GROUPS}{BACKGROUND}",
    ),
    "number": (
        f"{{number}} {THING}{BACKGROUND}",
        f"we see {{number}} {THING}{BACKGROUND}",
        f"one picture of {{number}} {THING}{BACKGROUND}",
        f"one picture with {{number}} {THING}{BACKGROUND}",
    ),
}
# What other senses tell: videos, sounds of two things, and whatever knows no place. Points have no colour, so that
# these and the frames above are said and understood without one as well.
SENSED: dict[str, tuple[str, ...]] = {
    "motion": (
        f"one {THING} {{motion}}{BACKGROUND}",
        f"there is one {THING} {{motion}}{BACKGROUND}",
        f"one {THING} that is {{motion}}{BACKGROUND}",
        f"one video of one {THING} {{motion}}{BACKGROUND}",
    ),
    "order": (
        f"one {THING} {{order}} one {OTHER}",
        f"there is one {THING} {{order}} one {OTHER}",
        f"one {THING} that comes {{order}} one {OTHER}",
        f"one sound of one {THING} {{order}} one {OTHER}",
    ),
    "shape": (f"one {THING}", f"there is one {THING}", f"this is one {THING}", f"here is one {THING}"),
}
PHRASINGS = 4
PLURALS = {shape: f"{shape}es" if shape.endswith("s") else f"{shape}s" for shape in VOCABULARY["shape"]}
SINGULARS = {plural: shape for shape, plural in PLURALS.items()}
FIELD = re.compile(r"\{(\w+)\}")
OPTION = re.compile(r"\[([^\]]*)\]")
COLOUR = re.compile(r"(\{(?:other_)?colour\} )")


def say(facts: Facts, phrasing: int = 0) -> str:
    """The facts in English; phrasing 0 is the canonical caption."""
    return _inflected(_frame(frozenset(facts), phrasing).format(**facts))


def parse(text: str) -> Facts | None:
    """The facts that a caption of a picture states, or None where it is not a sentence of this grammar."""
    return _read(text, _patterns())


def understand(text: str) -> Facts | None:
    """The same for what any sense may tell."""
    return _read(text, _all_patterns())


def one_wrong(facts: Facts, rng: Random, offered: Mapping[str, tuple[str, ...]]) -> Facts:
    """The same facts but one, drawn among the values `offered`; the changed one is false.

    A relation turns into its opposite: a thing on the left may well stand a little higher too.
    """
    fields = [field for field in facts if len(_values(field, offered)) > 1]
    field = rng.choice(fields)
    if field == "relation":
        return {**facts, field: OPPOSITE[facts[field]]}
    return {**facts, field: rng.choice([value for value in _values(field, offered) if value != facts[field]])}


def meaning(facts: Facts) -> frozenset[tuple[str, str]]:
    """Equal for sentences that say the same thing: `A right of B` is `B left of A`."""
    if facts.get("relation") not in ("right of", "below"):
        return frozenset(facts.items())
    turned = {_turned(field): value for field, value in facts.items()}
    return frozenset({**turned, "relation": OPPOSITE[facts["relation"]]}.items())


@cache
def _frame(fields: frozenset[str], phrasing: int) -> str:
    """The frame for these fields, without the optional parts that they leave empty."""
    frame = next(frames for field, frames in (FRAMES | SENSED).items() if field in fields)[phrasing]
    if "colour" not in fields:
        frame = COLOUR.sub("", frame)
    return OPTION.sub(lambda part: part[1] if fields.issuperset(FIELD.findall(part[1])) else "", frame)


def _turned(field: str) -> str:
    if field in ("relation", "background"):
        return field
    return field.removeprefix("other_") if field.startswith("other_") else f"other_{field}"


def _values(field: str, offered: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return offered[field.removeprefix("other_")]


def _inflected(text: str) -> str:
    """Plurals after numbers, and `a` or `an` for `one`."""
    words, spoken, many = text.split(" "), list[str](), False
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word in VOCABULARY["number"]:
            many = word != "one"
        if word == "one":
            spoken.append("an" if after[:1] in "aeiou" else "a")
        else:
            spoken.append(PLURALS.get(word, word) if many else word)
    return " ".join(spoken)


def _read(text: str, patterns: tuple[re.Pattern[str], ...]) -> Facts | None:
    words = (SINGULARS.get(word, word) for word in text.lower().rstrip(" .").split())
    plain = " ".join("one" if word in ("a", "an") else word for word in words)
    for pattern in patterns:
        if found := pattern.fullmatch(plain):
            return {field: value for field, value in found.groupdict().items() if value is not None}
    return None


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(_pattern(frame) for frames in FRAMES.values() for frame in frames)


@cache
def _all_patterns() -> tuple[re.Pattern[str], ...]:
    # sensed first: "a red ring" by itself counts nothing
    return tuple(_pattern(COLOUR.sub(r"[\1]", frame)) for frames in (SENSED | FRAMES).values() for frame in frames)


def _pattern(frame: str) -> re.Pattern[str]:
    def alternatives(field: re.Match[str]) -> str:
        longest_first = sorted(_values(field[1], VOCABULARY), key=len, reverse=True)
        return f"(?P<{field[1]}>{'|'.join(longest_first)})"

    return re.compile(OPTION.sub(r"(?:\1)?", FIELD.sub(alternatives, frame)))
