"""Sounds are read whole, at the right rate, in clips that lose nothing; what cannot be read is said."""

import io
import pickle
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from chiasm.core.errors import MediaError
from chiasm.data import audio
from chiasm.data.audio import SoundProcessor, decode, resampled
from chiasm.data.pairs import Sound, Unread
from chiasm.nn.spectrogram import Spectrogram


def _tone(hertz: float, rate: int, count: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype(np.float32)


def _wav(samples: np.ndarray, *, width: int, rate: int = 16_000) -> bytes:
    """`samples` is `[n, channels]`, as whole numbers."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        shift = 128 if width == 1 else 0
        file.writeframes(
            b"".join((int(x) + shift).to_bytes(width, "little", signed=width > 1) for x in samples.flatten())
        )
    return buffer.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_files_need_no_package(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "import_module", lambda _: pytest.fail("asked for a package"))
    largest = 1 << 8 * width - 1
    stereo = np.array([[0, 0], [largest - 1, largest - 1], [-largest, -largest], [largest // 2, 0]])
    heard = decode(_wav(stereo, width=width, rate=8000))
    assert heard.rate == 8000
    assert heard.samples == pytest.approx([0, 1 - 1 / largest, -1, 0.25], abs=1e-6)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "WAV"])
def test_other_files_are_read_by_soundfile(kind: str, tmp_path: Path) -> None:
    samples, path = _tone(440, 22_050, 4000), tmp_path / f"a.{kind.lower()}"
    subtype = {"FLAC": "PCM_16", "OGG": "VORBIS", "WAV": "FLOAT"}[kind]
    soundfile.write(path, np.stack([samples, samples], axis=1), 22_050, format=kind, subtype=subtype)
    heard = decode(path)
    assert (heard.rate, heard.samples.shape) == (22_050, (4000,))
    assert np.abs(heard.samples - samples).max() < (0.1 if kind == "OGG" else 1e-4)
    assert np.array_equal(decode(path.read_bytes()).samples, heard.samples)


@pytest.mark.parametrize(("old", "new"), [(44_100, 16_000), (8000, 16_000), (16_001, 16_000)])
def test_a_tone_stays_the_same_tone_at_another_rate(old: int, new: int) -> None:
    found = resampled(_tone(1000, old, old // 5), old, new)
    assert len(found) == new // 5
    assert np.abs(found - _tone(1000, new, new // 5))[200:-200].max() < 1e-3


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    assert np.abs(resampled(_tone(11_000, 44_100, 8820), 44_100, 16_000))[200:-200].max() < 1e-3
    still = np.full(500, 0.25, dtype=np.float32)
    assert resampled(still, 16_000, 16_000) is still


def test_clips_have_the_frames_of_the_whole_each_once() -> None:
    cfg, hearing = SoundProcessor(frames=8), Spectrogram()
    sound = Sound(
        _tone(700, 16_000, cfg.samples + 8 * 160 + 7 * 160), 16_000
    )  # two clips, and all but one frame of a third
    clips = cfg.read(sound)
    assert clips.shape == (3, cfg.samples)
    frames = hearing(clips).flatten(0, 1)
    whole = hearing(torch.from_numpy(sound.samples)[None])[0]
    assert torch.equal(frames[: len(whole)], whole)
    assert len(whole) == 23
    assert (frames[23:] == 0).all()


@pytest.mark.parametrize(("samples", "clips"), [(10, 1), (82_160, 1), (82_319, 1), (82_320, 2), (81_920 * 3, 3)])
def test_nothing_is_dropped_and_nothing_is_empty(samples: int, clips: int) -> None:
    """The reference has no clip at all of what is shorter than 2.56 seconds, and loses a last one as short."""
    read = SoundProcessor().read(Sound(np.ones(samples, dtype=np.float32), 16_000))
    assert read.shape == (clips, 82_160)
    assert (read.sum(dim=1) > 0).all()


def test_as_many_clips_as_are_asked_for() -> None:
    cfg = SoundProcessor(frames=8, clips=2)
    long, short = (Sound(np.ones(count, dtype=np.float32), 16_000) for count in (9000, 1000))
    assert cfg.read(long).shape == cfg.read(short).shape == (2, cfg.samples)
    assert cfg.read(long).min() == 1
    assert cfg.read(short).sum() == 1000


@pytest.mark.parametrize(("sound", "told"), [
    (b"RIFF, but no sound", "sound 3 (bytes): is not a sound of any known format"),
    (Path("none.wav"), "sound 3 (none.wav): No such file or directory"),
    ("nul\0", "sound 3 ('nul\\x00'): embedded null"),
    (Sound(np.zeros(0, np.float32), 16_000), "sound 3 (Sound): has no samples"),
    (Sound(np.array([0.0, np.nan]), 16_000), "sound 3 (Sound): has samples that are no numbers"),
    (Sound(np.ones(4, np.float32), 0), "sound 3 (Sound): has 0 samples a second"),
    (Unread("far", "timed out"), "sound 3 (far): timed out"),
    (7, "sound 3 (int): is no path, bytes or Sound"),
])  # fmt: skip
def test_what_cannot_be_read_is_said(sound: object, told: str) -> None:
    with pytest.raises(MediaError) as caught:
        SoundProcessor().read(sound, index=3)
    assert str(caught.value).startswith(told)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own
    with pytest.raises(MediaError, match="no samples"):
        decode(_wav(np.zeros((0, 1)), width=2))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(audio, "import_module", missing)
    with pytest.raises(MediaError, match=r"chiasm\[media\]"):
        decode(b"OggS and so on")
