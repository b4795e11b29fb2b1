"""Real pictures without a download: the colour emoji of the system's font, named by other people.

font -> what it really draws (one glyph, not the box for missing ones, no picture twice)
     -> splits: train, human and val show the same emoji in other positions, sizes and colours;
        test-combinations  known parts, not seen together (this firefighter, not in this tone)
        test-unseen        emoji whose base word occurs in no other split
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features

from chiasm.core.errors import unknown
from chiasm.data.noise import Noise, spoil
from chiasm.data.pairs import Pair
from chiasm.data.sources import emoji_names
from chiasm.data.sources.chance import chance, share
from chiasm.data.sources.emoji_names import FIELDS
from chiasm.data.sources.spec import Made, check, read_spec

VERSION = 1  # counts changes of what the same numbers draw
SPLITS = ("train", "human", "val", "test-combinations", "test-unseen")
UNSEEN = 0.1  # share of bases that only test-unseen shows
COMBINATIONS = 0.15  # share of the others that only test-combinations shows
FONTS = ("NotoColorEmoji*.ttf", "Apple Color Emoji.ttc", "seguiemj.ttf", "Twemoji*.ttf")
FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts", "/System/Library/Fonts",
    "/Library/Fonts", "C:/Windows/Fonts",
)  # fmt: skip
SIZES = (109, 160, 128)  # Noto's and Apple's only size; any other font draws all
IN_COLOUR = "\N{VARIATION SELECTOR-16}"
CANVAS = 192  # room for a glyph of any of them
LARGEST = 136  # what is kept of a glyph; more pixels than that no font of bitmaps has


@dataclass(frozen=True)
class Emoji:
    """One character, or a sequence drawn as one; equal pictures have an equal `picture`."""

    sequence: str
    name: str
    facts: Mapping[str, str]
    family: str
    picture: str


def find_font() -> Path | None:
    """The first colour emoji font in the places where systems keep theirs."""
    for folder in FOLDERS:
        for pattern in FONTS:
            for font in sorted(Path(folder).expanduser().rglob(pattern)):
                return font
    return None


@cache
def drawn(font: Path) -> tuple[Emoji, ...]:
    """All emoji that a font draws, each picture once, under its shortest name."""
    found: dict[str, tuple[str, str]] = {}
    for sequence, name in sorted(_named().items(), key=lambda item: (len(item[1]), item[1])):
        if (picture := _picture(font, sequence)) is not None:
            found.setdefault(picture, (sequence, emoji_names.caption(sequence, name)))
    parsed = {name: emoji_names.parse(name) for _, name in found.values()}
    toned = {facts["base"] for facts in parsed.values() if "tone" in facts}
    gendered = {facts["base"] for facts in parsed.values() if {"gender", "other_tone"} & facts.keys()}
    return tuple(
        Emoji(sequence, name, parsed[name], emoji_names.family(sequence, parsed[name], toned, gendered), picture)
        for picture, (sequence, name) in found.items()
    )


def summary(font: Path) -> str:
    """How much of what has a name the font draws, in a sentence for the user."""
    count = f"{font.name} draws {len(drawn(font)):,} different pictures for {len(_named()):,} named emoji"
    if features.check("raqm"):
        return count
    return f"{count}; Pillow has no raqm here, so none that are sequences (skin tones, genders, flags)"


@cache
def splits(font: Path) -> Mapping[str, tuple[Emoji, ...]]:
    """Which emoji each split shows.

    Whole families of colours or hours are never unseen. Of every other base a share of its emoji are
    unseen combinations, if each of their attributes still occurs in training.
    """
    kept = {emoji.facts["base"] for emoji in drawn(font) if {"colour", "hour"} & emoji.facts.keys()}
    bases: dict[str, list[Emoji]] = {}
    for emoji in drawn(font):
        bases.setdefault(emoji.facts["base"], []).append(emoji)
    unseen, held, train = list[Emoji](), list[Emoji](), list[Emoji]()
    for base, emojis in bases.items():
        if base not in kept and share(base) < UNSEEN:
            unseen += emojis
        else:
            by_lot = sorted(emojis, key=lambda emoji: share(emoji.name))
            cut = round(COMBINATIONS * len(emojis))
            held += by_lot[:cut]
            train += by_lot[cut:]
    parts = Counter(part for emoji in train for part in emoji.facts.items())
    for emoji in tuple(held):
        if not all(parts[part] for part in emoji.facts.items()):
            held.remove(emoji)
            train.append(emoji)
            parts.update(emoji.facts.items())
    seen = tuple(train)
    return {
        "train": seen, "human": seen, "val": seen, "test-combinations": tuple(held), "test-unseen": tuple(unseen),
    }  # fmt: skip


def draw(font: Path, sequence: str, size: int, rng: Random) -> np.ndarray:
    """An emoji somewhere near the middle, a little turned, on plain ground: uint8 `[size, size, 3]`."""
    fine = 2 * size
    side = rng.uniform(0.76, 0.92) * fine
    x, y = (fine / 2 + rng.uniform(-0.04, 0.04) * fine for _ in range(2))
    turn = math.radians(rng.uniform(-10, 10))
    level = rng.uniform(150, 235)
    ground = tuple(int(level + rng.uniform(-20, 20)) for _ in range(3))
    glyph = _glyph(font, sequence, min(fine, LARGEST))
    grow, middle = glyph.width / side, glyph.width / 2
    cos, sin = grow * math.cos(turn), grow * math.sin(turn)
    back = (cos, sin, middle - cos * x - sin * y, -sin, cos, middle + sin * x - cos * y)
    placed = glyph.transform((fine, fine), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (fine, fine), ground)
    picture.paste(placed, mask=placed.getchannel("A"))
    return np.array(picture.reduce(2))


@dataclass(frozen=True)
class EmojiPairs(Made):
    """Pairs of a font's emoji: `train` is the web (noisy if asked), every other split is human and true.

    `families` narrows what is shown (`people`, `hearts`, `clocks`, ...); none named means all.
    """

    font: Path
    seed: int = 0
    count: int = 8000
    split: str = "train"
    noise: Noise | None = None
    pixels: int = 32
    families: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self.split, SPLITS, count=self.count, noise=self.noise, pixels=self.pixels)
        known = {emoji.family for emoji in drawn(self.font)}
        if strange := set(self.families) - known:
            raise unknown("family", min(strange), known)
        if len(_shown(self)) < 2:
            raise ValueError(f"the split {self.split!r} shows fewer than two emoji of {self.families}: name more")

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < self.count:
            raise IndexError(f"pair {index} of a source that has {self.count}")
        emojis = _shown(self)
        rng = chance("emoji", self.seed, self.split, index)
        emoji = rng.choice(emojis)
        image = draw(self.font, emoji.sequence, self.pixels, rng)
        text, kind = emoji.name, ""
        if self.noise is not None:
            text, kind = spoil(
                text,
                rng,
                self.noise,
                swap=lambda rng: _other(emojis, emoji, rng),
                attribute=lambda rng: _one_wrong(self.font, emojis, emoji, rng),
            )
        tags = {
            "human": self.split != "train", "noise": kind, "truth": emoji.name, "facts": dict(emoji.facts),
            "family": emoji.family,
        }  # fmt: skip
        return Pair(f"{self.split}-{index:06d}", image, text, tags)

    @property
    def fingerprint(self) -> str:
        known = hashlib.sha256(
            f"emoji {VERSION} {self.seed} {self.count} {self.split} {self.noise!r} {self.pixels}".encode()
        )
        for emoji in _shown(self):
            known.update(f"{emoji.name} {emoji.picture}".encode())
        return known.hexdigest()[:16]


def open_emoji(spec: str = "emoji") -> EmojiPairs:
    """Pairs by name: `emoji?count=8000&seed=0&noise=0.5&split=train`, from the system's font."""
    name, given = read_spec(
        spec,
        {
            "count": int, "seed": int, "split": str, "noise": lambda rate: Noise(rate=float(rate)), "pixels": int,
            "font": Path, "families": lambda names: tuple(names.split(",")),
        },
    )  # fmt: skip
    if name:
        raise ValueError(f"emoji have no preset {name!r}; options follow a question mark, as in emoji?count=100")
    font = given.pop("font", None) or find_font()
    if font is None:
        raise ValueError(f"no colour emoji font in {', '.join(FOLDERS)}: install one (Debian: fonts-noto-color-emoji)")
    return EmojiPairs(font, **given)


@cache
def _shown(pairs: EmojiPairs) -> tuple[Emoji, ...]:
    emojis = splits(pairs.font)[pairs.split]
    return tuple(emoji for emoji in emojis if not pairs.families or emoji.family in pairs.families)


def _other(emojis: Sequence[Emoji], emoji: Emoji, rng: Random) -> str:
    while (other := rng.choice(emojis)).facts == emoji.facts:
        pass
    return other.name


def _one_wrong(font: Path, emojis: Sequence[Emoji], emoji: Emoji, rng: Random) -> str:
    """The name of a training emoji of the same family that differs in one attribute, where there is one."""
    kin = _kin(font)
    near = [[name for name in kin[key] if name != emoji.name] for key in _keys(emoji)]
    if near := [names for names in near if names]:
        return rng.choice(rng.choice(near))
    return _other(emojis, emoji, rng)


@cache
def _kin(font: Path) -> Mapping[tuple[str, ...], Sequence[str]]:
    """The names in training by all attributes but one."""
    kin: dict[tuple[str, ...], list[str]] = {}
    for emoji in splits(font)["train"]:
        for key in _keys(emoji):
            kin.setdefault(key, []).append(emoji.name)
    return kin


def _keys(emoji: Emoji) -> list[tuple[str, ...]]:
    values = {field: emoji.facts.get(field, "") for field in FIELDS}
    return [(emoji.family, left_out, *{**values, left_out: ""}.values()) for left_out in FIELDS]


@cache
def _named() -> Mapping[str, str]:
    """Every character or sequence that has a name; one character needs no wish to be shown in colour."""
    try:
        from emoji import EMOJI_DATA, STATUS  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("emoji have their names from a package: pip install 'chiasm[emoji]'") from error
    named = {emoji: about["en"] for emoji, about in EMOJI_DATA.items() if about["status"] == STATUS["fully_qualified"]}
    return {emoji.removesuffix(IN_COLOUR) if len(emoji) == 2 else emoji: name for emoji, name in named.items()}


@cache
def _face(font: Path) -> ImageFont.FreeTypeFont:
    for size in SIZES:
        try:
            return ImageFont.truetype(str(font), size)
        except OSError:
            continue  # a font of bitmaps has them in one size only
    raise ValueError(f"{font} cannot be opened as a font of size {' or '.join(map(str, SIZES))}")


def _picture(font: Path, sequence: str) -> str | None:
    """A number for the picture, or None where the font has none: a box, or parts side by side."""
    if _face(font).getlength(sequence) > 1.3 * _width(font):
        return None
    pixels = _ink(font, sequence).tobytes()
    return None if pixels == _missing(font) else hashlib.sha256(pixels).hexdigest()[:16]


@cache
def _width(font: Path) -> float:
    return _face(font).getlength("\N{GRINNING FACE}")


@cache
def _missing(font: Path) -> bytes:
    """What the font shows for a character that can never exist."""
    return _ink(font, "\U0010fffe").tobytes()


def _ink(font: Path, sequence: str) -> Image.Image:
    """What Pillow writes into the middle of nothing; its colours are blended with black, so premultiplied."""
    square = Image.new("RGBA", (CANVAS, CANVAS))
    ImageDraw.Draw(square).text((CANVAS / 2, CANVAS / 2), sequence, font=_face(font), anchor="mm", embedded_color=True)
    return square


@lru_cache(maxsize=4096)
def _glyph(font: Path, sequence: str, size: int) -> Image.Image:
    """The picture cut to what is drawn, made square, and shrunk to `size`."""
    ink = _ink(font, sequence)
    left, top, right, bottom = ink.getbbox() or (0, 0, CANVAS, CANVAS)
    side = max(right - left, bottom - top)
    square = Image.new("RGBA", (side, side))
    square.paste(ink.crop((left, top, right, bottom)), ((side - right + left) // 2, (side - bottom + top) // 2))
    straight = Image.frombytes("RGBa", square.size, square.tobytes()).convert("RGBA")
    return straight.resize((size, size), Image.Resampling.LANCZOS)
