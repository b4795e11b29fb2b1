"""The words for emoji, by other people: Unicode's short names, read as attributes.

woman firefighter, medium-dark skin tone   gender woman · base firefighter · tone medium-dark
light blue heart                           colour light blue · base heart
three-thirty                               hour three · minutes thirty · base clock
"""

import re
from bisect import bisect
from collections.abc import Collection

Facts = dict[str, str]

FIELDS = ("base", "gender", "tone", "other_tone", "colour", "hour", "minutes")
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
GENDERS = {"man": "man", "men": "man", "woman": "woman", "women": "woman", "person": "person", "people": "person"}
COLOURS = (
    "light blue", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey",
)  # fmt: skip
HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

TONE = re.compile(rf"(?:^|[ _,]+)({'|'.join(sorted(TONES, key=len, reverse=True))})[ _]skin[ _]tone")
CLOCK = re.compile(rf"({'|'.join(HOURS)})(?: (o'clock)|-(thirty))")
COLOURED = re.compile(rf"({'|'.join(COLOURS)}) (.+)")
PERSON = re.compile(rf"({'|'.join(GENDERS)})(?: (?!and )(.+))?")

# Where a row of Unicode's blocks begins, and what most of its emoji show.
BLOCKS = (
    (0x0000, "symbols"), (0x1F300, "nature"), (0x1F32D, "food"),
    (0x1F331, "nature"), (0x1F345, "food"), (0x1F380, "activities"), (0x1F3DA, "places"),
    (0x1F3F3, "objects"), (0x1F400, "animals"), (0x1F440, "objects"), (0x1F500, "symbols"), (0x1F550, "objects"),
    (0x1F5FA, "places"), (0x1F600, "faces"), (0x1F648, "animals"), (0x1F64B, "people"), (0x1F680, "vehicles"),
    (0x1F6CB, "objects"), (0x1F6E2, "vehicles"), (0x1F7E0, "symbols"), (0x1F90D, "faces"), (0x1F93A, "activities"),
    (0x1F94F, "food"), (0x1F970, "faces"), (0x1F97B, "objects"), (0x1F980, "animals"), (0x1F9AF, "objects"),
    (0x1F9C0, "food"), (0x1F9CC, "people"), (0x1F9E0, "objects"), (0x1FAB0, "animals"), (0x1FAB4, "nature"),
    (0x1FABF, "animals"), (0x1FAC0, "objects"), (0x1FAD0, "food"), (0x1FAE0, "faces"), (0x1FAF0, "people"),
)  # fmt: skip


def caption(sequence: str, name: str) -> str:
    """The short name in words, such as one would say: the skin tones last, a flag as a flag."""
    plain = name.strip(":").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    tones = [f", {tone} skin tone" for tone in TONE.findall(plain)]
    words = TONE.sub("", plain).replace("_", " ").strip()
    return ("flag of " if _is_flag(sequence) else "") + words + "".join(tones)


def parse(text: str) -> Facts:
    """The attributes that a caption states; whatever it says beside them is its base."""
    plain = re.sub(r"\s*([,'-])\s*", r"\1", " ".join(text.lower().split()))
    facts: Facts = dict(zip(("tone", "other_tone"), TONE.findall(plain), strict=False))
    base = TONE.sub("", plain)
    if clock := CLOCK.fullmatch(base):
        return {"base": "clock", "hour": clock[1], "minutes": clock[2] or clock[3], **facts}
    if person := PERSON.fullmatch(base):
        facts["gender"], base = GENDERS[person[1]], person[2] or "adult"
    if coloured := COLOURED.fullmatch(base):
        facts["colour"], base = coloured[1], coloured[2]
    return {"base": base, **facts}


def family(sequence: str, facts: Facts, toned: Collection[str], gendered: Collection[str]) -> str:
    """What kind of thing is shown.

    Bases that come in skin tones are people, or hands (and whoever else has a tone and no gender).
    """
    if _is_flag(sequence):
        return "flags"
    if facts["base"] in ("heart", "clock"):
        return facts["base"] + "s"
    if facts["base"] in toned and facts["base"] not in gendered:
        return "hands"
    if facts["base"] in toned or "gender" in facts or facts["base"].startswith("family "):
        return "people"
    return BLOCKS[bisect(BLOCKS, (ord(sequence[0]), "~")) - 1][1]


def _is_flag(sequence: str) -> bool:
    """Two letters for a country, or the black flag with tags for a part of one."""
    return "\U0001f1e6" <= sequence[0] <= "\U0001f1ff" or (len(sequence) > 1 and sequence[1] >= "\U000e0020")
