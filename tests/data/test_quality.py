"""Measures of a pair, against scipy, and by what must not change them: a copy, another size, other light."""

import io
import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from scipy.fft import dctn
from scipy.ndimage import laplace
from skimage import data

from chiasm.data import quality
from chiasm.data.quality import distance, language, look

NEAR = 3  # bits
PHOTOS = {name: getattr(data, name)()[..., :3] for name in ("astronaut", "chelsea", "coffee", "rocket", "retina")}
CAPTIONS = {
    "en": ["a dog on the beach", "two children playing in the snow", "red leather shoes for women"],
    "de": ["ein Hund am Strand", "zwei Kinder spielen im Schnee", "eine Tasse Kaffee"],
    "fr": ["un chien sur la plage", "deux enfants jouent dans la neige", "chaise en bois"],
    "es": ["un perro en la playa", "dos niños jugando en la nieve", "cielo azul y nubes"],
    "ru": ["деревянный стул", "двое детей играют в снегу", "красные кожаные туфли для женщин"],
    "zh": ["海滩上的一只狗", "两个孩子在雪地里玩耍", "一杯咖啡"],
    "ja": ["浜辺の犬", "雪の中で遊ぶ二人の子供", "木の椅子"],
    "ar": ["كلب على الشاطئ", "طفلان يلعبان في الثلج", "فنجان قهوة"],
}


def shirt(colour: str, size: int = 300) -> np.ndarray:
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).ellipse((size // 5, size // 5, 4 * size // 5, 4 * size // 5), fill=colour)
    return np.array(image)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def sized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def brighter(picture: np.ndarray, factor: float) -> np.ndarray:
    return np.array(ImageEnhance.Brightness(Image.fromarray(picture)).enhance(factor))


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: jpeg(picture, 90),
        lambda picture: jpeg(picture, 20),
        lambda picture: sized(picture, 96, 96),
        lambda picture: sized(picture, 2 * picture.shape[1], 2 * picture.shape[0]),
        lambda picture: brighter(picture, 1.1),
        lambda picture: brighter(picture, 0.9),
    ],
    ids=["jpeg 90", "jpeg 20", "small", "large", "brighter", "darker"],
)
@pytest.mark.parametrize("picture", [*PHOTOS.values(), shirt("red")], ids=[*PHOTOS, "shirt"])
def test_copies_are_near(picture: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> None:
    assert distance(look(picture).hash, look(change(picture)).hash) <= NEAR


def test_other_pictures_are_far() -> None:
    hashes = [look(photo).hash for photo in PHOTOS.values()]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > 10


def test_colours_count() -> None:
    hashes = [look(shirt(colour)).hash for colour in ("red", "green", "blue", "black")]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > NEAR


def test_a_mirrored_picture_is_another() -> None:
    photo = PHOTOS["astronaut"]
    assert distance(look(photo).hash, look(photo[:, ::-1]).hash) > 10


def test_the_cosines_are_those_of_scipy() -> None:
    grey = np.random.default_rng(0).uniform(0, 255, (32, 32))
    waves = quality._cosines(32)
    np.testing.assert_allclose(waves @ grey @ waves.T, dctn(grey, norm="ortho"), atol=1e-9)


def test_the_lowest_frequencies_are_a_triangle() -> None:
    drawn = np.zeros((10, 10), int)
    drawn[quality._lowest(48)] = 1
    assert drawn.sum() == 48
    assert drawn[0, 0] == 0
    assert all(drawn[v, u] for v in range(9) for u in range(9 - v) if v + u)
    assert max(v + u for v, u in zip(*np.nonzero(drawn), strict=True)) == 9


def test_sharpness_is_the_variance_of_scipys_laplacian() -> None:
    grey = np.asarray(Image.fromarray(PHOTOS["astronaut"]).convert("L").resize((256, 256)), np.float32)
    told = look(np.stack([grey.astype(np.uint8)] * 3, axis=-1)).blur
    assert told == pytest.approx(float(laplace(grey, mode="nearest").var()), rel=1e-4)


@pytest.mark.parametrize("name", PHOTOS)
def test_the_more_blurred_the_less_sharp(name: str) -> None:
    image = Image.fromarray(PHOTOS[name])
    told = [look(np.array(image.filter(ImageFilter.GaussianBlur(radius)))).blur for radius in (0, 1, 2, 4, 8)]
    assert told == sorted(told, reverse=True)
    assert told[-1] < 10


def test_sharpness_compares_between_sizes() -> None:
    photo = PHOTOS["astronaut"]
    sizes = [look(sized(photo, side, side)).blur for side in (400, 512, 1024)]
    assert max(sizes) < 1.2 * min(sizes)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 5)])
def test_any_shape_has_a_look(shape: tuple[int, int]) -> None:
    for level in (0, 255):
        seen = look(np.full((*shape, 3), level, np.uint8))
        assert (seen.height, seen.width) == shape
        assert (seen.blur, seen.hash) == (0, 0)


def test_a_hash_has_64_bits() -> None:
    rng = np.random.default_rng(0)
    hashes = [look(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).hash for _ in range(200)]
    assert all(0 <= number < 1 << 64 for number in hashes)
    assert len({*hashes}) == 200
    assert distance(0, (1 << 64) - 1) == 64


@pytest.mark.parametrize("code", CAPTIONS)
def test_short_captions_have_a_language(code: str) -> None:
    assert [language(text) for text in CAPTIONS[code]] == [code] * len(CAPTIONS[code])


@pytest.mark.parametrize(
    "text",
    ["", "   ", "IMG_1234.jpg", "12345", "!!!", "a", "$19.99", "DSC0001", "iPhone 13 Pro", "\ud800", "\U0001f642"],
)
def test_what_says_too_little_has_none(text: str) -> None:
    assert language(text) == ""


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    quality._languages.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'chiasm\[inspect\]'"):
        language("a dog on the beach")
