"""One batch, against a slow loop, and with everything that can be wrong with a pair."""

from collections.abc import Sequence
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


def test_what_is_wrong_with_a_pair_is_its_own_affair(tmp_path: Any) -> None:
    good = [Pair("a", pixels(0), "text"), Pair("z", pixels(9), "last")]
    bad = {
        "broken": (Pair("1", b"junk", "text"), Status.DECODE_ERROR),
        "empty file": (Pair("2", b"", "text"), Status.DECODE_ERROR),
        "missing": (Pair("3", tmp_path / "no.jpg", "text"), Status.DECODE_ERROR),
        "blank": (Pair("4", pixels(4), " \n\x00"), Status.EMPTY_TEXT),
        "late": (Pair("5", pixels(5), "unreadable"), Status.DECODE_ERROR),
        "human": (Pair("6", pixels(6), "by hand", {"human": True}), Status.HUMAN),
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
