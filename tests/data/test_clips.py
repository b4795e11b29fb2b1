"""Frames at even distances, whatever form a video has; equal frames are the picture itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import chiasm
from chiasm import Both, Clip, MediaError
from chiasm.data.clips import apart, even, together
from chiasm.predictor.verbs import Predictor

Frames = list[np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def model() -> Predictor:
    return chiasm.create("blip/tiny", seed=3, device="cpu")


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Flat pictures of 16 shades."""
    return [np.full((12, 10, 3), 16 * i, np.uint8) for i in range(16)]


def _shades(pictures: Any) -> list[int]:
    return [int(np.asarray(Image.open(one) if isinstance(one, Path) else one)[0, 0, 0]) for one in pictures]


@pytest.mark.parametrize(
    ("count", "places"), [(1, [0]), (4, [0, 4, 8, 12]), (8, [*range(0, 16, 2)]), (16, [*range(16)])]
)
def test_frames_lie_at_even_distances(frames: Frames, count: int, places: list[int]) -> None:
    assert even(16, count) == places
    assert _shades(Clip(frames, count).pictures(0)) == [16 * place for place in places]
    assert _shades(Clip(np.stack(frames), count).pictures(0)) == [16 * place for place in places]


def test_a_short_clip_shows_frames_longer(frames: Frames) -> None:
    assert _shades(Clip(frames[:3], 8).pictures(0)) == [0, 0, 0, 16, 16, 16, 32, 32]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_animated_pictures_and_folders(frames: Frames, tmp_path: Path, ending: str) -> None:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    path = tmp_path / f"film.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=50, **options)
    assert _shades(Clip(path, 4).pictures(0)) == [0, 64, 128, 192]
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i:03d}.png")
    (folder / "notes.txt").write_text("no frame")
    assert _shades(Clip(str(folder), 4).pictures(0)) == [0, 64, 128, 192]


def test_what_is_no_clip_is_said(tmp_path: Path, frames: Frames) -> None:
    (tmp_path / "film.gif").write_bytes(b"GIF89a")
    (empty := tmp_path / "empty").mkdir()
    for broken, reason in (
        (empty, "no frames"),
        (tmp_path / "film.gif", "cannot be read"),
        ([], "no frames"),
        (3, "no list"),
    ):
        with pytest.raises(MediaError, match=reason) as caught:
            Clip(broken).pictures(7)
        assert caught.value.index == 7
    with pytest.raises(ValueError, match="count is 0"):
        Clip(frames, 0)
    with pytest.raises(ValueError, match="row 0 is 8 pictures and row 1 is 4"):
        together([Clip(frames), Clip(frames, 4)])
    assert (together([]), together(frames), together([Both(*frames[:2])])) == (1, 1, 2)
    assert apart(Both(*frames[:2]), 0) == frames[:2]


def test_eight_equal_frames_embed_as_the_picture(model: Predictor, frames: Frames) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    torch.testing.assert_close(model.embed(images=Clip([picture] * 8)), model.embed(images=picture), atol=1e-5, rtol=0)
    match = model.match([Clip([picture] * 8), Clip(frames)], "a red circle")
    assert match.itc_cosine[0] == pytest.approx(model.match(picture, "a red circle").itc_cosine.item(), abs=1e-5)
    # eight times the same tokens are the same weights of attention
    assert match.itm_prob[0] == pytest.approx(model.match(picture, "a red circle").itm_prob.item(), abs=1e-5)


@torch.no_grad()
def test_a_clip_is_a_slow_loop_over_its_frames(model: Predictor) -> None:
    """Embedded by the mean of what its frames project to, matched by all of their tokens in a row."""
    rng = np.random.default_rng(1)
    clips = [[rng.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(3)] for _ in range(4)]
    module, words = model.module, ["a red circle", "a blue star", "", "two hearts"]
    towers = module.retriever.towers
    for size in (1, 5, 32):
        embedded = model.embed(images=[Clip(clip, 3) for clip in clips], batch_size=size)
        match = model.match([Clip(clip, 3) for clip in clips], words, batch_size=size)
        for row, clip in enumerate(clips):
            seen = [module.see(model.processor([frame])) for frame in clip]
            projected = torch.stack([towers.image_head(states[0, 0]) for states in seen]).mean(dim=0)
            text = model.tokenizer.encode([words[row]])
            logits = module.match(torch.cat(seen, dim=1), text, torch.tensor([0]))[0]
            torch.testing.assert_close(embedded[row], projected / projected.norm(), atol=1e-5, rtol=0)
            torch.testing.assert_close(match.itm_logits[row], logits, atol=1e-5, rtol=0)
            cosine = (embedded[row] @ module.embed_text(text)[0]).item()
            assert match.itc_cosine[row] == pytest.approx(cosine, abs=1e-5)


def test_clips_are_found_and_ordered_like_pictures(model: Predictor) -> None:
    rng = np.random.default_rng(2)
    clips = [Clip([rng.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(2)], 2) for _ in range(5)]
    found, match = model.rerank("a red circle", clips, k=3), model.match(clips, "a red circle")
    for place, score in zip(found.indices, found.scores, strict=True):
        assert score == pytest.approx((match.itm_logits[place, 1] + match.itc_cosine[place]).item(), abs=1e-5)
    assert len(model.rerank(clips[0], ["a red circle", "x"]).items) == 2
    assert len(model.caption(clips, max_new_tokens=3)) == 5
