"""Emoji as pairs: what the font really draws, names read as attributes, splits that share no picture."""

import hashlib
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import ImageFont

from chiasm.data.noise import Noise
from chiasm.data.pairs import Source
from chiasm.data.sources import emoji as emojis
from chiasm.data.sources.chance import chance
from chiasm.data.sources.emoji import SPLITS, EmojiPairs, draw, drawn, find_font, open_emoji, splits, summary
from chiasm.data.sources.emoji_names import FIELDS, Facts, caption, parse

FONT = find_font()
needs_font = pytest.mark.skipif(FONT is None, reason="no colour emoji font on this system")


@pytest.mark.parametrize(
    ("sequence", "name", "said", "facts"),
    [
        ("🦊", ":fox:", "fox", {"base": "fox"}),
        ("🩵", ":light_blue_heart:", "light blue heart", {"base": "heart", "colour": "light blue"}),
        ("🕞", ":three-thirty:", "three-thirty", {"base": "clock", "hour": "three", "minutes": "thirty"}),
        ("🕒", ":three_o’clock:", "three o'clock", {"base": "clock", "hour": "three", "minutes": "o'clock"}),  # noqa: RUF001 - as Unicode spells it
        ("🇫🇷", ":France:", "flag of France", {"base": "flag of france"}),
        ("👩", ":woman:", "woman", {"base": "adult", "gender": "woman"}),
        ("👫", ":woman_and_man_holding_hands:", "woman and man holding hands", {"base": "woman and man holding hands"}),
        (
            "👩🏾‍🚒",
            ":woman_firefighter_medium-dark_skin_tone:",
            "woman firefighter, medium-dark skin tone",
            {"base": "firefighter", "gender": "woman", "tone": "medium-dark"},
        ),
        (
            "👨🏻‍🦰",
            ":man_light_skin_tone_red_hair:",
            "man red hair, light skin tone",
            {"base": "hair", "colour": "red", "gender": "man", "tone": "light"},
        ),
        (
            "👬🏿",
            ":men_holding_hands_medium-light_skin_tone_dark_skin_tone:",
            "men holding hands, medium-light skin tone, dark skin tone",
            {"base": "holding hands", "gender": "man", "tone": "medium-light", "other_tone": "dark"},
        ),
    ],
)
def test_names_become_words_and_words_attributes(sequence: str, name: str, said: str, facts: Facts) -> None:
    assert caption(sequence, name) == said
    assert parse(said) == facts
    # as a tokenizer gives it back
    assert parse(said.lower().replace(",", " ,").replace("-", " - ").replace("'", " ' ")) == facts


def test_any_text_has_a_base() -> None:
    assert parse("") == {"base": ""}
    assert parse("buy now , 3 left") == {"base": "buy now,3 left"}


@needs_font
def test_only_what_the_font_draws_and_nothing_twice() -> None:
    found = drawn(FONT)
    prints = [emojis._picture(FONT, emoji.sequence) for emoji in found[::10]]
    assert len(found) > 1000
    assert None not in prints
    assert len(set(prints)) == len(prints)
    assert len({emoji.picture for emoji in found}) == len(found)
    assert emojis._picture(FONT, "😀😀") is None, "two glyphs are no emoji"
    assert emojis._picture(FONT, "\U0010ffff") is None, "the box for missing glyphs is no emoji"
    assert f"{len(found):,}" in summary(FONT)


@needs_font
def test_names_tell_emoji_apart() -> None:
    by_facts = Counter(tuple(sorted(emoji.facts.items())) for emoji in drawn(FONT))
    assert by_facts.most_common(1)[0][1] == 1
    assert all(parse(emoji.name) == emoji.facts for emoji in drawn(FONT))
    assert {field for emoji in drawn(FONT) for field in emoji.facts} <= set(FIELDS)


@needs_font
def test_combinations_are_new_but_their_parts_are_known() -> None:
    shown = splits(FONT)
    train, held, unseen = (shown[name] for name in ("train", "test-combinations", "test-unseen"))
    assert min(len(train) / 10, len(held), len(unseen)) > 100
    parts = {part for emoji in train for part in emoji.facts.items()}
    assert all(part in parts for emoji in held for part in emoji.facts.items())
    assert not {e.facts["base"] for e in unseen} & {e.facts["base"] for e in (*train, *held)}
    for attribute in ("picture", "name"):
        values = [{vars(emoji)[attribute] for emoji in part} for part in (train, held, unseen)]
        assert len(set.union(*values)) == sum(map(len, values))
    assert {"people", "hearts", "clocks"} <= {emoji.family for emoji in held}
    assert shown["human"] == shown["val"] == train


@needs_font
def test_pictures_of_one_emoji_differ_a_little() -> None:
    one, two = (draw(FONT, "🦊", 32, chance(key)).astype(int) for key in "ab")
    other = draw(FONT, "🌳", 32, chance("a")).astype(int)
    assert np.abs(one - two).mean() > 2
    inside = np.s_[8:24, 8:24]
    assert np.abs(one - two)[inside].mean() < np.abs(one - other)[inside].mean()


@needs_font
def test_edges_keep_their_colour() -> None:
    """A red disc on light ground: no pixel may be darker than both, as careless alpha would have it."""
    picture = draw(FONT, "🔴", 224, chance("edge")).astype(int)
    disc, ground = picture[112, 112], picture[2, 2]
    assert (picture[..., 0] > min(disc[0], ground[0]) - 60).all()


@needs_font
@pytest.mark.parametrize("split", SPLITS)
def test_pairs_are_a_source_and_the_same_twice(split: str) -> None:
    def digest() -> str:
        source = EmojiPairs(FONT, split=split, count=20)
        assert isinstance(source, Source)
        samples = [source[index] for index in range(len(source))]
        assert all(sample.image.shape == (32, 32, 3) and sample.image.std() > 5 for sample in samples)
        assert all(sample.tags["human"] == (split != "train") for sample in samples)
        return hashlib.sha256(b"".join(s.image.tobytes() + s.text.encode() for s in samples)).hexdigest()

    assert digest() == digest()


@needs_font
def test_flagged_is_wrong_and_unflagged_is_right() -> None:
    source = EmojiPairs(FONT, count=500, noise=Noise(rate=0.6))
    trained = {emoji.name: emoji for emoji in splits(FONT)["train"]}
    changed = Counter()
    for index in range(500):
        sample = source[index]
        kind, truth = sample.tags["noise"], sample.tags["truth"]
        assert (sample.text == truth) == (kind == "")
        if kind in ("swap", "attribute"):
            assert sample.text in trained, "texts must not tell what training may not know"
        if kind == "attribute":
            said, right = parse(sample.text), sample.tags["facts"]
            (field,) = [field for field in FIELDS if said.get(field) != right.get(field)]
            changed[field] += 1
            assert trained[sample.text].family == sample.tags["family"]
    assert {"base", "gender", "tone"} <= changed.keys()


@needs_font
def test_a_fingerprint_changes_with_the_pairs() -> None:
    specs = ["emoji", "emoji?seed=1", "emoji?split=val", "emoji?noise=0.5", "emoji?pixels=48"]
    assert len({open_emoji(spec).fingerprint for spec in specs}) == len(specs)


@needs_font
def test_families_narrow_what_is_shown() -> None:
    source = open_emoji("emoji?families=hearts,clocks&count=60&noise=0.5")
    assert {source[index].tags["family"] for index in range(60)} == {"hearts", "clocks"}


@needs_font
def test_without_shaping_only_single_characters_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ImageFont.truetype(str(FONT), emojis._face(FONT).size, layout_engine=ImageFont.Layout.BASIC)
    monkeypatch.setattr(emojis, "_face", lambda _: plain)
    assert emojis._picture(FONT, "😀") is not None
    assert emojis._picture(FONT, "👩🏾‍🚒") is None
    monkeypatch.setattr(emojis.features, "check", lambda _: False)
    assert "no raqm" in summary(FONT)


def test_what_is_missing_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emojis, "FOLDERS", ("/nowhere",))
    with pytest.raises(ValueError, match=r"no colour emoji font in /nowhere: install one"):
        open_emoji("emoji")
    monkeypatch.setitem(sys.modules, "emoji", None)
    emojis._named.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'chiasm\[emoji\]'"):
        emojis._named()


@needs_font
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("emoji:all", "no preset 'all'"),
        ("emoji?splt=val", "did you mean 'split'"),
        ("emoji?split=tset-unseen", "did"),
        ("emoji?families=heart", "did you mean 'hearts'"),
        ("emoji?families=hearts&split=test-unseen", "fewer than two"),
    ],
)
def test_what_cannot_be_opened_says_why(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_emoji(spec)
