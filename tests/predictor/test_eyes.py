"""What a `preprocessor_config.json` asks for: done as `transformers` does it, or refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from chiasm.core.types import Fit, Pixels
from chiasm.data.images import ImageProcessor, Resize
from chiasm.predictor.eyes import PREPROCESSOR, PROCESSOR, read_eyes, write_eyes

SQUASHED = Pixels(size=24, mean=(0.5, 0.25, 0.125), std=(0.5, 0.5, 0.75))
CROPPED = Pixels(size=24, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.75), fit=Fit.CROP)
PICTURE = np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8)


def told(folder: Path, said: Any) -> Path:
    (folder / PREPROCESSOR).write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(("pixels", "kind"), [(SQUASHED, BlipImageProcessorPil), (CROPPED, CLIPImageProcessorPil)])
def test_theirs_does_what_ours_wrote_and_back(pixels: Pixels, kind: type[Any], tmp_path: Path) -> None:
    other = SQUASHED if pixels is CROPPED else CROPPED
    folder = told(tmp_path, write_eyes(pixels))
    assert read_eyes(folder, other) == pixels
    theirs = kind.from_pretrained(folder)
    ours = ImageProcessor(pixels, Resize.EXACT)([PICTURE])
    torch.testing.assert_close(theirs(PICTURE, return_tensors="pt")["pixel_values"], ours, rtol=1e-4, atol=1e-5)
    theirs.save_pretrained(folder)
    assert read_eyes(folder, other) == pixels


@pytest.mark.parametrize(
    ("said", "fit"),
    [
        ({}, None),
        (
            {"size": 24, "crop_size": 24, "do_center_crop": True, "feature_extractor_type": "CLIPFeatureExtractor"},
            None,
        ),
        ({"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}, Fit.CROP),
        ({"size": {"shortest_edge": 24}, "crop_size": 24}, Fit.CROP),
        ({"size": {"height": 24, "width": 24}}, Fit.SQUASH),
        ({"size": {"height": 24, "width": 24}, "do_center_crop": False, "crop_size": 224}, Fit.SQUASH),
    ],
)
def test_forms_of_a_size(said: dict[str, Any], fit: Fit | None, tmp_path: Path) -> None:
    for usual in (SQUASHED, CROPPED):
        found = read_eyes(told(tmp_path, said), usual)
        assert (found.size, found.mean, found.fit) == (24, usual.mean, fit or usual.fit)


def test_what_a_whole_processor_says_goes_before(tmp_path: Path) -> None:
    """As in transformers; a `processor_config.json` of before its fifth version says nothing of pictures."""
    told(tmp_path, write_eyes(CROPPED))
    (tmp_path / PROCESSOR).write_text(json.dumps({"num_query_tokens": 5}))
    assert read_eyes(tmp_path, SQUASHED) == CROPPED
    (tmp_path / PROCESSOR).write_text(json.dumps({"image_processor": write_eyes(SQUASHED)}))
    assert read_eyes(tmp_path, CROPPED) == SQUASHED
    theirs = BlipImageProcessorPil.from_pretrained(tmp_path)
    assert tuple(theirs.image_mean) == SQUASHED.mean
    (tmp_path / PROCESSOR).write_text(json.dumps({"image_processor": {"resample": 2}}))
    with pytest.raises(ValueError, match=rf"{PROCESSOR} asks for resample 2"):
        read_eyes(tmp_path, CROPPED)


def test_no_file_is_the_usual(tmp_path: Path) -> None:
    assert read_eyes(tmp_path, CROPPED) is CROPPED


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"resample": 2}, "asks for resample 2, but chiasm always has 3"),
        ({"do_normalize": False}, "asks for do_normalize False, but chiasm always has True"),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, "do not make one square"),
        ({"size": {"shortest_edge": 224}, "do_center_crop": False}, "without a crop makes no square"),
        ({"size": {"height": 224, "width": 336}}, "do not make one square"),
        ({"size": [224]}, "is damaged"),
        ({"rescale_factor": 1 / 127.5}, "asks for rescale_factor 0.0078.*, but chiasm always has 1/255"),
        ({"image_mean": 0.5}, "is damaged"),
        ({"image_std": [1.0]}, "is damaged"),
    ],
)
def test_what_cannot_be_done_is_said(said: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_eyes(told(tmp_path, said), CROPPED)


@pytest.mark.parametrize("size", [48, {"height": 48, "width": 48}, {"shortest_edge": 48}])
def test_another_size_than_the_model_s_is_warned_of(size: Any, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="makes pictures of 48 pixels, but the model takes 24"):
        assert read_eyes(told(tmp_path, {"size": size}), CROPPED).size == 24
