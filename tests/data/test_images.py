"""Pictures of every form become the squares that Pillow would make."""

import io
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photographs
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from chiasm.core.errors import MediaError
from chiasm.core.types import Fit, Pixels
from chiasm.data import images
from chiasm.data.images import CLIP_MEAN, CLIP_STD, QUIET, ImageProcessor, Resize, decode, resize

CLIP = Pixels(size=24, mean=CLIP_MEAN, std=CLIP_STD)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 10_000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scene(height: int, width: int) -> np.ndarray:
    """Soft shades with hard edges, as pictures have them."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    layers = [np.sin(9 * x + 4 * y), np.cos(7 * y * x), np.where((x - 0.4) ** 2 + (y - 0.3) ** 2 < 0.05, 1, -0.9)]
    return ((np.stack(layers, -1) + 1) * 127).astype(np.uint8)


def encoded(array: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


SHAPES = [(300, 200), (200, 300), (500, 600), (8, 8), (40, 31), (31, 40), (225, 223), (226, 225), (900, 3), (3, 900)]


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fast_resize_is_near_pillow(shape: tuple[int, int], size: int) -> None:
    for picture in (scene(*shape), noise(*shape)):
        slow = np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        away = np.abs(resize(picture, size).permute(1, 2, 0).numpy() - slow)
        assert away.max() <= 2
        assert (away > 0).mean() < 0.02
        assert (away > 1).mean() < 1e-4


@pytest.mark.parametrize("fit", Fit)
def test_two_levels_away_are_a_few_values_in_a_million(fit: Fit) -> None:
    """Never more than two: a sum may be rounded to another level twice, and as often as that by bad luck only."""
    pictures = [*(load() for load in (photographs.astronaut, photographs.chelsea, photographs.coffee)), noise(311, 402)]
    away = np.concatenate(
        [
            np.abs(resize(picture, size, fit=fit).numpy().astype(int) - exact.numpy()).ravel()
            for picture in pictures
            for size in (48, 224, 256, 384)
            for exact in [resize(picture, size, method=Resize.EXACT, fit=fit)]
        ]
    )
    assert away.max() <= 2
    assert (away > 1).mean() < 1e-5
    assert (away > 0).mean() < 0.01


def test_the_exact_resize_is_pillow() -> None:
    for shape in SHAPES:
        slow = Image.fromarray(noise(*shape)).resize((48, 48), Image.Resampling.BICUBIC)
        fast = resize(noise(*shape), 48, method=Resize.EXACT)
        assert np.array_equal(fast.permute(1, 2, 0), np.array(slow))


def test_a_square_of_the_size_is_left_alone() -> None:
    picture = noise(32, 32)
    for method in Resize:
        for fit in Fit:
            assert np.array_equal(resize(picture, 32, method=method, fit=fit).permute(1, 2, 0), picture)


ODD = [(300, 200), (200, 301), (8, 8), (40, 31), (31, 40), (225, 223), (333, 100), (101, 333), (99, 50), (480, 640)]


@pytest.mark.parametrize("size", [37, 64])
@pytest.mark.parametrize("shape", ODD)
def test_the_crop_is_that_of_transformers(shape: tuple[int, int], size: int) -> None:
    """Its processor for Pillow: pixel for pixel when asked for exactly, and else as near as squares are."""
    square = {"height": size, "width": size}
    crop = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size=square, do_rescale=False, do_normalize=False
    )  # fmt: skip
    for picture in (scene(*shape), noise(*shape)):
        theirs = crop(Image.fromarray(picture))["pixel_values"][0].astype(int)
        assert np.array_equal(resize(picture, size, method=Resize.EXACT, fit=Fit.CROP), theirs)
        away = np.abs(resize(picture, size, fit=Fit.CROP).numpy() - theirs)
        assert away.max() <= 2
        assert (away > 0).mean() < 0.02
        assert (away > 1).sum() <= 1 + 1e-4 * away.size


@pytest.mark.parametrize("shape", [(2, 200_000), (200_000, 3), (1, 1)])
def test_what_is_far_longer_than_wide_takes_no_memory(shape: tuple[int, int]) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    high, wide = (slice(side // 2 - 1, side // 2 + 1) for side in shape)
    picture[high, wide] = 255
    for method in Resize:
        square = resize(picture, 24, method=method, fit=Fit.CROP)
        assert square.shape == (3, 24, 24)
        if shape != (1, 1):
            assert square.max() == 255  # the middle is still the middle


def test_the_processor_fits_as_it_is_told() -> None:
    picture = noise(20, 60)
    process = ImageProcessor(replace(CLIP, fit=Fit.CROP), Resize.EXACT)
    assert torch.equal(process.read(picture), resize(picture, 24, method=Resize.EXACT, fit=Fit.CROP))
    assert not torch.equal(process.read(picture), ImageProcessor(CLIP, Resize.EXACT).read(picture))


def test_every_form_of_one_picture_gives_the_same_pixels(tmp_path: Path) -> None:
    picture = noise(20, 30)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture, "PNG"))
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    mirrored = np.ascontiguousarray(picture[:, ::-1])[:, ::-1]  # negative strides
    frozen = picture.copy()
    frozen.setflags(write=False)
    forms = [
        path, str(path), path.read_bytes(), bytearray(path.read_bytes()), Image.open(path), picture, mirrored, frozen,
        tensor, tensor.float() / 255, tensor.double() / 255,
    ]  # fmt: skip
    for form in forms:
        assert np.array_equal(decode(form), picture)
    assert ImageProcessor(CLIP)(forms).unique(dim=0).shape == (1, 3, 24, 24)


@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 30, "progressive": True}, {"subsampling": 2}])
def test_jpeg_is_read_as_pillow_reads_it(options: dict[str, int]) -> None:
    data = encoded(scene(37, 53), "JPEG", **options)
    assert np.array_equal(decode(data), np.array(Image.open(io.BytesIO(data)).convert("RGB")))


def test_normalise() -> None:
    squares = torch.from_numpy(noise(24, 24)).permute(2, 0, 1)[None]
    mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
    slow = ((squares[0].double() / 255).permute(1, 2, 0) - mean) / std
    fast = ImageProcessor(CLIP).normalise(squares)[0].permute(1, 2, 0)
    torch.testing.assert_close(fast.double(), slow, atol=1e-6, rtol=1e-6)


def test_the_processor_and_its_parts() -> None:
    process = ImageProcessor(CLIP, Resize.EXACT)
    pictures = [noise(9, 70), noise(50, 24)]
    squares = torch.stack([resize(picture, 24, method=Resize.EXACT) for picture in pictures])
    assert torch.equal(process(pictures), process.normalise(squares))
    assert process([]).shape == (0, 3, 24, 24)


def test_the_processor_names_the_picture() -> None:
    with pytest.raises(MediaError, match=r"picture 1 \(missing\.png\): No such file") as told:
        ImageProcessor(CLIP)([noise(3, 3), "missing.png"])
    assert told.value.index == 1


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((4, 4), np.uint8), r"array.*uint8 \[h, w, 3\].*\[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
        (torch.zeros(4, 4, 3), r"\[3, h, w\].*\[4, 4, 3\]"),
        (torch.full((3, 2, 2), 255.0), r"0\.\.1.*255"),
        (torch.full((3, 2, 2), float("nan")), r"0\.\.1"),
        (torch.zeros(3, 2, 2, dtype=torch.int64), "int64"),
        (7, "int.*no path"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_picture(picture: object, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        decode(picture)


def test_threads_leave_the_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    first, second = threading.Event(), threading.Event()

    def early() -> None:
        with QUIET:
            first.set()
            assert second.wait(5)

    def late() -> None:
        assert first.wait(5)
        with QUIET:
            second.set()
            thread.join(5)  # the first to enter is the first to leave
            with warnings.catch_warnings():
                warnings.warn_explicit("Truncated File Read", UserWarning, "TiffImagePlugin.py", 1, module="PIL.Tiff")

    thread = threading.Thread(target=early)
    thread.start()
    late()
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="loud"):
        warnings.warn_explicit("loud", UserWarning, "TiffImagePlugin.py", 1, module="PIL.Tiff")


def test_the_bound_is_pillows() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert abs(images.LARGEST - 2 * Image.MAX_IMAGE_PIXELS) <= 2


@pytest.mark.parametrize("shape", [(37, 1200), (38, 1600), (1600, 20)])
def test_long_pictures_are_cut_after_they_are_resized(shape: tuple[int, int]) -> None:
    picture = noise(*shape)
    theirs = CLIPImageProcessorPil(
        size={"shortest_edge": 40}, crop_size={"height": 40, "width": 40}, do_normalize=False
    )
    expected = theirs(Image.fromarray(picture), return_tensors="pt", do_rescale=False)["pixel_values"][0]
    found = resize(picture, 40, method=Resize.EXACT, fit=Fit.CROP)
    assert torch.equal(found, torch.as_tensor(expected).to(torch.uint8))
