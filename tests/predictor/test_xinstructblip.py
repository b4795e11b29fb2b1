"""Chats about what any sense perceives: files and values, several at once, and what cannot be read."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import chiasm
from chiasm.data.sources import open_source
from chiasm.predictor.verbs import Predictor


@pytest.fixture(scope="module")
def model() -> Predictor:
    return chiasm.create("xinstructblip/tiny", device="cpu")


def turn(*parts: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind, kind: thing} for kind, thing in parts]}]


def test_a_file_is_what_it_holds(model: Predictor, tmp_path: Path) -> None:
    sound, cloud = (open_source(f"{kind}:single?count=1")[0].image for kind in ("sound", "points"))
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, sound.rate, 0, "NONE", ""))
        file.writeframes((sound.samples * 32_767).round().astype("<i2").tobytes())
    np.save(tmp_path / "b.npy", cloud.points)
    asked = ("text", "which of the two is larger?")
    one = model.chat(turn(("audio", sound), ("points", cloud), asked), max_new_tokens=4)
    files = ("audio", tmp_path / "a.wav"), ("points", str(tmp_path / "b.npy"))
    same, other = (model.chat(turn(*parts, asked), max_new_tokens=4).logprob for parts in (files, files[:1]))
    assert one.logprob == pytest.approx(same, abs=1e-3)  # wav files keep whole numbers
    assert abs(one.logprob - other) > 0.004


def test_q_formers_may_be_told_something_else_than_what_was_asked(model: Predictor) -> None:
    picture = torch.rand(3, 32, 32)
    asked = turn(("image", picture), ("text", "which of the two is larger?"))
    one, same, other = (
        model.chat(asked, max_new_tokens=2, hint=hint).logprob
        for hint in (None, "which of the two is larger?", "what is this?")
    )
    assert one == same != other


def test_videos_of_any_length_are_seen_in_as_many_frames_as_were_learned(model: Predictor) -> None:
    film = np.random.default_rng(0).integers(0, 255, (10, 32, 32, 3), dtype=np.uint8)
    asked = ("text", "what is this?")
    one, other, more = (
        model.chat(turn(("video", each), asked), max_new_tokens=2)
        for each in (chiasm.Video(film), [*film[::2]], chiasm.Clip(film, 3))
    )
    assert one == other != more


@pytest.mark.parametrize(
    ("sense", "kind"), [("audio", "sound"), ("points", "cloud"), ("image", "picture"), ("video", "picture")]
)
def test_what_cannot_be_read_is_said_and_not_made_up(model: Predictor, sense: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(b"nothing")
    with pytest.raises(chiasm.MediaError, match=f"{kind} 0 .*a.gif"):
        model.chat(turn((sense, tmp_path / "a.gif"), ("text", "what is this?")), max_new_tokens=2)
