"""One batch, against a slow loop, and with everything that can be wrong with a pair."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from capfilt_fakes import Contrast, Model, pixels, raw, share

from chiasm.bootstrap.describe import Models, describe, wordless
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import Row, Status, seed_of
from chiasm.core.results import Caption
from chiasm.data.pairs import Pair
from chiasm.data.quality import look
from chiasm.data.text import clean

SETTINGS = Settings(captioner="model", filter="model", seed=5)


class Silent(Model):
    """Has nothing to say."""

    def caption(self, images: Sequence[Any], **_: Any) -> list[Caption]:
        return [Caption("", -1.0) for _ in images]


class Forgetful(Model):
    """Loses a picture."""

    def caption(self, images: Sequence[Any], **_: Any) -> list[Caption]:
        return [Caption("one", -1.0) for _ in images[1:]]


def rows(pairs: Sequence[Pair], model: Any = None, judge: Any = None) -> list[Row]:
    models = Models(SETTINGS, lambda _: model or Model())
    models.filter = judge or models.filter
    return describe(pairs, models, SETTINGS)


def test_a_batch_says_what_a_slow_loop_says() -> None:
    pairs = [Pair(f"p{i}", pixels(i), f"Text {i}!") for i in range(5)]
    for i, row in enumerate(rows(pairs)):
        picture, seed = raw(pixels(i)), seed_of(5, f"p{i}")
        said = f"caption {share(picture, '', seed, 'nucleus', 0.9, 20):.6f}"
        (synthetic,) = row.synthetic
        assert (row.id, row.web, row.seed, row.status) == (f"p{i}", f"Text {i}!", seed, Status.OK)
        assert (synthetic.text, synthetic.prompt, synthetic.seed) == (said, "", seed)
        assert synthetic.logprob == -share(picture, seed)
        assert row.web_itm == pytest.approx(share(picture, f"text {i}"), abs=1e-6)
        assert synthetic.itm == pytest.approx(share(picture, clean(said)), abs=1e-6)
        assert row.web_itc == pytest.approx(2 * row.web_itm - 1, abs=1e-6)
        assert synthetic.itc == pytest.approx(2 * synthetic.itm - 1, abs=1e-6)
        assert (row.width, row.height, row.language) == (5, 4, "")
        assert (row.blur, row.hash) == (look(pixels(i)).blur, look(pixels(i)).hash)


def test_several_captions_for_several_prompts() -> None:
    """Each has a seed of its own, which more captions do not change, and is judged."""
    pairs = [Pair(f"p{i}", pixels(i), "text") for i in range(3)]
    how = replace(SETTINGS, captions=3, prompts=("", "a picture of"))
    found = describe(pairs, Models(how, lambda _: Model()), how)
    for i, row in enumerate(found):
        picture = raw(pixels(i))
        assert [said.prompt for said in row.synthetic] == ["", "a picture of"] * 3
        assert [said.seed for said in row.synthetic] == [seed_of(5, f"p{i}", text) for text in range(6)]
        for said in row.synthetic:
            assert said.text == f"caption {share(picture, said.prompt, said.seed, 'nucleus', 0.9, 20):.6f}"
            assert said.itm == pytest.approx(share(picture, clean(said.text)), abs=1e-6)
    fewer = describe(pairs, Models(how, lambda _: Model()), replace(how, captions=1))
    assert [row.synthetic for row in fewer] == [row.synthetic[:2] for row in found]
    assert [row.web_itm for row in fewer] == [row.web_itm for row in found]


def test_a_picture_that_one_of_its_texts_fails_on_leaves_with_all_of_them() -> None:
    pairs = [Pair("a", pixels(0), "text"), Pair("b", pixels(1), "unreadable"), Pair("c", pixels(2), "text")]
    how = replace(SETTINGS, captions=2)
    a, b, c = describe(pairs, Models(how, lambda _: Model()), how)
    assert (a.status, b.status, c.status) == (Status.OK, Status.DECODE_ERROR, Status.OK)
    assert [said.itm for said in b.synthetic] == [None, None]
    assert [a, c] == describe([pairs[0], pairs[2]], Models(how, lambda _: Model()), how)


def test_the_language_of_web_texts_is_told_where_that_is_asked_for() -> None:
    pytest.importorskip("py3langid")
    texts = {"en": "a small brown dog is running over the green grass", "de": "ein kleiner brauner Hund auf der Wiese"}
    pairs = [Pair(code, pixels(i), text) for i, (code, text) in enumerate(texts.items())]
    told = describe(pairs, Models(SETTINGS, lambda _: Model()), replace(SETTINGS, languages=True))
    assert [row.language for row in told] == [*texts]
    assert [row.language for row in rows(pairs)] == ["", ""]


def test_what_is_wrong_with_a_pair_is_its_own_affair(tmp_path: Any) -> None:
    good = [Pair("a", pixels(0), "text"), Pair("z", pixels(9), "last")]
    bad = {
        "broken": (Pair("1", b"junk", "text"), Status.DECODE_ERROR),
        "empty file": (Pair("2", b"", "text"), Status.DECODE_ERROR),
        "missing": (Pair("3", tmp_path / "no.jpg", "text"), Status.DECODE_ERROR),
        "blank": (Pair("4", pixels(4), " \n\x00"), Status.EMPTY_TEXT),
        "late": (Pair("5", pixels(5), "unreadable"), Status.DECODE_ERROR),
        "human": (Pair("6", pixels(6), "by hand", {"human": True}), Status.HUMAN),
        "human, broken": (Pair("9", b"junk", "by hand", {"human": True}), Status.DECODE_ERROR),
        "said to be human": (Pair("10", pixels(10), "by hand", {"human": "True"}), Status.HUMAN),
        "said to be none": (Pair("11", pixels(11), "by a machine", {"human": "false"}), Status.OK),
        "long": (Pair("7", pixels(7), "word " * 20_000), Status.OK),
        "surrogate": (Pair("8", pixels(8), "a\ud800"), Status.OK),
    }
    described = rows([good[0], *(pair for pair, _ in bad.values()), good[1]])
    assert [row.status for row in described[1:-1]] == [status for _, status in bad.values()]
    assert [described[0], described[-1]] == rows(good)
    found = dict(zip(bad, described[1:-1], strict=True))
    assert all(found[name].error for name in ("broken", "empty file", "missing"))
    assert found["late"].error == "the model cannot read it"
    assert (found["broken"].synthetic, found["broken"].web_itm, found["broken"].hash) == ((), None, None)
    assert (found["human"].synthetic, found["human"].web_itm) == ((), None)
    assert found["blank"].synthetic
    assert found["blank"].synthetic[0].itm is not None
    assert found["blank"].web_itm is None


def test_a_model_that_says_nothing() -> None:
    (row,) = rows([Pair("a", pixels(0), "text")], Silent())
    assert (row.status, row.synthetic[0].text, row.synthetic[0].itm) == (Status.EMPTY_CAPTION, "", None)
    assert row.web_itm is not None


def test_a_filter_without_a_matching_head() -> None:
    (row,) = rows([Pair("a", pixels(0), "text")], Model(), Contrast())
    assert row.web_itm is row.synthetic[0].itm is None
    assert row.web_itc == pytest.approx(share(raw(pixels(0)), "text"))


def test_scores_that_are_no_numbers() -> None:
    row, good = rows([Pair("a", pixels(0), "nan"), Pair("b", pixels(1), "text")])
    assert (row.status, good.status) == (Status.SCORE_ERROR, Status.OK)
    assert "nan" in row.error


def test_a_model_that_loses_a_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        rows([Pair("a", pixels(0), "text"), Pair("b", pixels(1), "text")], Forgetful())


def test_one_model_in_both_parts_is_loaded_once() -> None:
    loaded: list[str] = []

    def load(name: str) -> Model:
        loaded.append(name)
        return Model()

    models = Models(SETTINGS, load)
    assert loaded == ["model"]
    assert models.captioner is models.filter


@pytest.mark.parametrize(
    ("text", "none"), [("", True), ("\t\u200b\x07", True), (" a", False), ("画", False), (" ...!", True)]
)
def test_wordless(text: str, none: bool) -> None:  # noqa: FBT001 - a table of cases
    assert wordless(text) is none
