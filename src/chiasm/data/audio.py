"""Sounds to tensors: any file or array in, clips of one channel at one rate out.

    path | bytes | Sound ─ decode ─ mean of channels ─ resample ─ cut between frames ─ clips, the last filled with zeros

Wav files need nothing else; FLAC, Ogg, MP3 and unusual wav files need the package of `chiasm[media]`.

A clip is as long as `frames` frames of a spectrogram (`nn/spectrogram.py`), and the next one begins where their
next frame would: so clips have the frames of the whole sound, each once. X-InstructBLIP (arXiv:2311.18799) cuts
spectrograms, to the same effect, but its code loses the last clip where less than half of it is filled.
"""

import io
import math
import wave
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from chiasm.core.errors import MediaError
from chiasm.core.files import read_thing
from chiasm.data.pairs import Sound, Unread

BYTES = 1 << 30  # of a file: more than an hour and a half of stereo at 44.1 kHz
ZEROS = 16  # of the sinc on each side: what is far contributes little
CHUNK = 1 << 14  # samples that are worked out together
WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}  # bytes of a sample, as wav files keep it

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class SoundProcessor:
    """Turns sounds into clips of `frames` frames, `hop` samples apart and `frame` samples long each.

    The sizes are those of BEATs in X-InstructBLIP: 5.12 seconds. With `clips`, every sound becomes as many: what is
    longer is cut off, and what is shorter is followed by silence.
    """

    rate: int = 16_000
    frames: int = 512
    frame: int = 400
    hop: int = 160
    clips: int | None = None

    @property
    def samples(self) -> int:
        """Of a clip."""
        return self.frame + (self.frames - 1) * self.hop

    @property
    def numbers(self) -> int:
        """Samples of all clips; of one, where a sound has as many as it is long."""
        return (self.clips or 1) * self.samples

    def read(self, sound: object, /, *, index: int = 0) -> Float[Tensor, "k n"]:
        """What is wrong with a sound is a `MediaError` that names `index`."""
        heard = decode(sound, index=index)
        samples = torch.from_numpy(resampled(heard.samples, heard.rate, self.rate))
        whole = 1 + max(0, len(samples) - self.frame) // self.hop
        count = self.clips or math.ceil(whole / self.frames)
        step, end = self.frames * self.hop, self.samples + (count - 1) * self.frames * self.hop
        filled = torch.nn.functional.pad(samples[:end], (0, max(0, end - len(samples))))
        return filled.unfold(0, self.samples, step)


def decode(sound: object, *, index: int = 0) -> Sound:
    """One channel at its own rate; whatever is wrong is a `MediaError` that names `index`."""
    match sound:
        case Sound():
            return _checked(np.asarray(sound.samples, dtype=np.float32), sound.rate, index, "Sound")
        case str() | Path():
            return _from_bytes(read_thing(sound, index=index, most=BYTES, kind="sound"), index, str(sound))
        case bytes():
            return _from_bytes(sound, index, "bytes")
        case Unread(where, reason):
            raise _error(index, where, reason)
        case _:
            raise _error(index, type(sound).__name__, "is no path, bytes or Sound")


def resampled(samples: Samples, old: int, new: int) -> Samples:
    """The same sound with `new` samples a second in place of `old`, without what only the old ones could hold.

    Every sample is a sum of those around it, weighed by a sinc in a Hann window (Julius O. Smith, "Digital
    audio resampling"): the sinc's zeros are as far apart as the samples of the slower of the two rates.
    """
    if old == new:
        return samples
    slow = max(1.0, old / new)  # old samples between two zeros of the sinc
    reach = math.ceil(ZEROS * slow)
    padded = np.pad(samples, reach)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    places = np.arange(math.ceil(len(samples) * new / old), dtype=np.int64) * old
    chunks = [places[start : start + CHUNK] for start in range(0, len(places), CHUNK)]
    return np.concatenate([_weighed(windows, chunk, new, slow) for chunk in chunks]).astype(np.float32)


def _weighed(windows: Samples, places: NDArray[np.int64], new: int, slow: float) -> Samples:
    """Samples at `places / new`, in old samples; few rates have many different distances to the one before."""
    before, distance = np.divmod(places, new)
    distances, kind = np.unique(distance, return_inverse=True)
    reach = windows.shape[1] // 2
    offsets = (np.arange(-reach, reach + 1) - distances[:, None] / new) / slow
    weights = np.sinc(offsets) * np.cos(np.pi / 2 * np.clip(offsets / ZEROS, -1, 1)) ** 2 / slow
    return np.einsum("nk,nk->n", windows[before], weights.astype(np.float32)[kind])


def _from_bytes(data: bytes, index: int, path: str) -> Sound:
    plain = _plain(data)
    if plain is not None:
        return _checked(*plain, index, path)
    try:
        samples, rate = import_module("soundfile").read(io.BytesIO(data), dtype="float32", always_2d=True)
    except ModuleNotFoundError as error:
        told = "is no plain wav file, and others are read by a package: pip install 'chiasm[media]'"
        raise _error(index, path, told) from error
    except (RuntimeError, TypeError, ValueError) as error:
        raise _error(index, path, "is not a sound of any known format") from error
    return _checked(samples.mean(axis=1), rate, index, path)


def _plain(data: bytes) -> tuple[Samples, int] | None:
    """A wav file of whole numbers that is in order; None for anything else."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate, raw = (
                file.getsampwidth(),
                file.getnchannels(),
                file.getframerate(),
                file.readframes(-1),
            )
    except (wave.Error, EOFError, RuntimeError):
        return None
    if width not in (*WIDTHS, 3):
        return None
    if width == 3:  # as the upper bytes of four
        raw = b"".join(b"\0" + raw[i : i + 3] for i in range(0, len(raw) - 2, 3))
    size = width + (width == 3)
    whole = np.frombuffer(raw[: len(raw) // (size * channels) * size * channels], dtype=WIDTHS[size])
    middle, largest = (128, 128) if width == 1 else (0, 1 << 8 * size - 1)
    return ((whole.astype(np.float64) - middle) / largest).reshape(-1, channels).mean(axis=1).astype(np.float32), rate


def _checked(samples: Samples, rate: int, index: int, path: str) -> Sound:
    if samples.ndim != 1 or not len(samples):
        raise _error(index, path, f"has no samples of one channel, but an array of {samples.shape}")
    if not np.isfinite(samples).all():
        raise _error(index, path, "has samples that are no numbers")
    if rate < 1:
        raise _error(index, path, f"has {rate} samples a second")
    return Sound(samples, rate)


def _error(index: int, path: str, reason: str) -> MediaError:
    return MediaError(index, path, reason, kind="sound")
