"""Spectrograms equal a loop in plain Python and transformers' own, and the zeros after a sound are no sound."""

import cmath
import math

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from chiasm.nn.spectrogram import Spectrogram

BEATS = Spectrogram()
SMALL = Spectrogram(rate=800, mels=5, frame=20, hop=8)


def _sound(rows: int, count: int) -> torch.Tensor:
    return 0.2 * torch.randn(rows, count, generator=torch.Generator().manual_seed(0)) + 0.05


def _frame(samples: list[float], cfg: Spectrogram, points: int) -> list[float]:
    """One frame from the definition, number by number."""
    mean = sum(samples) / len(samples)
    still = [x - mean for x in samples]
    sharp = [x - 0.97 * still[max(0, i - 1)] for i, x in enumerate(still)]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * i / (len(still) - 1)) for i in range(len(still))]
    shaped = [x * h**0.85 for x, h in zip(sharp, hann, strict=True)]
    waves = [
        sum(x * cmath.exp(-2j * math.pi * i * f / points) for i, x in enumerate(shaped)) for f in range(points // 2)
    ]

    def mel(hertz: float) -> float:
        return 1127 * math.log(1 + hertz / 700)

    step = (mel(cfg.rate / 2) - mel(20)) / (cfg.mels + 1)
    energies = []
    for band in range(cfg.mels):
        left, top, right = (mel(20) + (band + k) * step for k in range(3))
        places = [mel(f * cfg.rate / points) for f in range(points // 2)]
        weights = [max(0.0, min((p - left) / (top - left), (right - p) / (right - top))) for p in places]
        energies.append(sum(w * abs(wave) ** 2 for w, wave in zip(weights, waves, strict=True)))
    return [(math.log(max(e, 1.1920929e-07)) - 15.41663) / (2 * 6.55582) for e in energies]


def test_every_number_is_that_of_a_plain_loop() -> None:
    sound = _sound(2, 61)
    expected = [
        [_frame([x * 2**15 for x in row[i : i + 20]], SMALL, 32) for i in range(0, 61 - 20 + 1, 8)]
        for row in sound.tolist()
    ]
    torch.testing.assert_close(SMALL(sound), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_spectrograms_are_those_of_transformers() -> None:
    sound = _sound(2, 4321)
    with pytest.warns(
        UserWarning, match="all zero"
    ):  # low bands are thinner than what 512 points tell apart: theirs too
        filters = mel_filter_bank(
            257, 128, min_frequency=20.0, max_frequency=8000.0, sampling_rate=16_000, mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )  # fmt: skip
    window = window_function(400, "povey", periodic=False)
    settings = {"frame_length": 400, "hop_length": 160, "fft_length": 512, "center": False, "remove_dc_offset": True}
    levels = {"power": 2.0, "preemphasis": 0.97, "log_mel": "log", "mel_floor": 1.192092955078125e-07}
    theirs = [
        spectrogram(row * 2.0**15, window, mel_filters=filters, **settings, **levels).T
        for row in sound.double().numpy()
    ]
    scaled = torch.tensor((np.stack(theirs) - 15.41663) / (2 * 6.55582)).float()
    assert scaled.shape == (2, BEATS.frames(4321), 128)
    torch.testing.assert_close(BEATS(sound), scaled, rtol=1e-4, atol=1e-4)


def test_a_tone_is_bright_where_its_pitch_is() -> None:
    time = torch.arange(3200) / 16_000
    tones = torch.stack([0.5 * torch.sin(2 * math.pi * pitch * time) for pitch in (300.0, 1000.0, 4000.0)])
    low, middle, high = BEATS(tones).mean(dim=1).argmax(dim=1).tolist()
    assert low < middle < high
    louder = BEATS(tones).amax(dim=(1, 2)) - BEATS(0.5 * tones).amax(dim=(1, 2))
    torch.testing.assert_close(louder, torch.full((3,), math.log(4) / (2 * 6.55582)), rtol=1e-3, atol=1e-3)


def test_zeros_after_a_sound_are_no_sound() -> None:
    sound = _sound(3, 2000)
    sound[1, 1000:] = 0
    sound[2] = 0
    alone = BEATS(sound[1:2, :1000])
    frames = BEATS(sound)
    assert torch.equal(frames[1, : BEATS.frames(1000)], alone[0])
    assert (frames[1, BEATS.frames(1000) :] == 0).all()
    assert (frames[2] == 0).all()
    assert (frames[0] != 0).all()
    pause = sound[:1].clone()
    pause[:, 500:1500] = 0
    assert (BEATS(pause) != 0).all(), "silence within a sound is heard as silence"


def test_frames_of_a_part_are_those_of_the_whole() -> None:
    """A long sound may be cut between frames: 512 of them take 82,160 samples, and the next begin after 81,920."""
    assert (BEATS.samples(512), BEATS.frames(82_160), 512 * BEATS.hop) == (82_160, 512, 81_920)
    whole, cut = _sound(1, 5000), 10 * BEATS.hop
    parts = [BEATS(whole[:, : BEATS.samples(10)]), BEATS(whole[:, cut : cut + BEATS.samples(10)])]
    assert torch.equal(torch.cat(parts, dim=1), BEATS(whole)[:, :20])


def test_halves_are_heard_in_full() -> None:
    sound = _sound(1, 800).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heard = BEATS(sound)
    assert heard.dtype == torch.float32
    assert torch.equal(heard, BEATS(sound.float()))


def test_what_is_shorter_than_a_frame_is_refused() -> None:
    assert BEATS.frames(399) == 0
    with pytest.raises(ValueError, match="399 samples for frames of 400: pad"):
        BEATS(_sound(1, 399))
