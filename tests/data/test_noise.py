"""The web's noise: as much as asked, of the kinds asked, and always flagged right."""

from collections import Counter

import pytest

from chiasm.data.noise import KINDS, Noise, spoil
from chiasm.data.sources.chance import chance


def spoilt(noise: Noise, key: int) -> tuple[str, str]:
    return spoil("right", chance(key), noise, swap=lambda _: "other", attribute=lambda _: "twisted")


def test_as_much_and_of_the_kinds_that_were_asked() -> None:
    noise = Noise(rate=0.4, swap=2.0, attribute=1.0, file=1.0, advert=0.0, topic=0.0)
    kinds = Counter(spoilt(noise, key)[1] for key in range(5000))
    share = {kind: count / 5000 for kind, count in kinds.items()}
    assert share == pytest.approx({"": 0.6, "swap": 0.2, "attribute": 0.1, "file": 0.1}, abs=0.03)


def test_the_flag_says_what_was_done() -> None:
    texts = {kind: set() for kind in ("", *KINDS)}
    for key in range(1000):
        text, kind = spoilt(Noise(rate=0.5), key)
        texts[kind].add(text)
    assert (texts[""], texts["swap"], texts["attribute"]) == ({"right"}, {"other"}, {"twisted"})
    for kind in ("file", "advert", "topic"):
        assert len(texts[kind]) > 20
        assert not any("{" in text or text == "right" for text in texts[kind])


@pytest.mark.parametrize(("rate", "wrong"), [(0.0, 0), (1.0, 200)])
def test_none_and_all(rate: float, wrong: int) -> None:
    assert sum(spoilt(Noise(rate=rate), key)[1] != "" for key in range(200)) == wrong


def test_the_same_lots_spoil_alike() -> None:
    assert [spoilt(Noise(rate=0.5), key) for key in range(50)] == [spoilt(Noise(rate=0.5), key) for key in range(50)]


def test_what_is_no_share_or_no_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1\.5.*between 0 and 1"):
        Noise(rate=1.5)
    with pytest.raises(ValueError, match="some kind"):
        Noise(rate=0.5, swap=0.0, attribute=0.0, file=0.0, advert=0.0, topic=0.0)
    with pytest.raises(ValueError, match=r"-1"):
        Noise(rate=0.5, swap=-1.0)
