"""Sounds as pictures: Kaldi's log-mel filter banks, as BEATs reads them (arXiv:2212.09058, section 3.1).

    samples ─ frames of 25 ms, every 10 ms ─ no mean ─ pre-emphasis ─ window ─ |DFT|^2 ─ mel filters ─ log ─ scale

A frame starts where its first sample is and lies inside the sound, none is centred or padded ("snip edges").
Nothing here learns and nothing is kept, so that a model of half precision still hears in fp32.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FLOOR = torch.finfo(torch.float32).eps  # of energies, so that silence has a logarithm
EMPHASIS = 0.97


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """How sounds of `rate` samples a second, from -1 to 1, become frames; `frame` and `hop` are in samples.

    `mean` and `std` are AudioSet's, of sounds as 16-bit integers; twice the standard deviation comes out as 1.
    """

    rate: int = 16_000
    mels: int = 128
    frame: int = 400
    hop: int = 160
    lowest: float = 20.0  # Hz
    mean: float = 15.41663
    std: float = 6.55582

    def samples(self, frames: int) -> int:
        """How many samples that many frames take."""
        return self.frame + (frames - 1) * self.hop

    def frames(self, samples: int) -> int:
        """How many frames that many samples make; what is left over makes none."""
        return 0 if samples < self.frame else 1 + (samples - self.frame) // self.hop

    def __call__(self, sound: Float[Tensor, "b n"]) -> Float[Tensor, "b t m"]:
        """Frames that reach into the zeros after a sound are 0, as those are with which BEATs pads spectrograms."""
        if sound.shape[1] < self.frame:
            raise ValueError(f"sounds of {sound.shape[1]} samples for frames of {self.frame}: pad them with zeros")
        heard = sound.float() * 2.0**15
        framed = heard.unfold(1, self.frame, self.hop)
        framed = framed - framed.mean(dim=-1, keepdim=True)
        before = torch.cat([framed[..., :1], framed[..., :-1]], dim=-1)
        framed = (framed - EMPHASIS * before) * self._window(sound.device)
        power = torch.fft.rfft(framed, self._points).abs().square()
        with torch.autocast(sound.device.type, enabled=False):
            energy = power @ self._filters(sound.device)
        scaled = (energy.clamp(min=FLOOR).log() - self.mean) / (2 * self.std)
        return scaled * self._inside(heard)[..., None]

    @property
    def _points(self) -> int:
        """Of the DFT: the next power of two."""
        return 1 << (self.frame - 1).bit_length()

    def _window(self, device: torch.device) -> Float[Tensor, " f"]:
        """Kaldi's own, called povey: a Hann window that does not reach zero so soon."""
        return torch.hann_window(self.frame, periodic=False, device=device).pow(0.85)

    def _filters(self, device: torch.device) -> Float[Tensor, "f m"]:
        """Triangles that stand side by side on the mel scale, each from its left neighbour's top to its right one's."""
        low, high = _mel(self.lowest), _mel(self.rate / 2)
        tops = torch.linspace(low, high, self.mels + 2, dtype=torch.float64, device=device)
        width = (high - low) / (self.mels + 1)
        frequencies = torch.arange(self._points // 2 + 1, dtype=torch.float64, device=device)
        mels = 1127.0 * (1.0 + frequencies * (self.rate / self._points / 700.0)).log()
        return (1.0 - (mels[:, None] - tops[1:-1]).abs() / width).clamp(min=0.0).float()

    def _inside(self, sound: Float[Tensor, "b n"]) -> Float[Tensor, "b t"]:
        """1 for frames that end before the zeros do that end a sound."""
        ends = torch.arange(self.frames(sound.shape[1]), device=sound.device) * self.hop + self.frame
        zeros = (sound != 0).flip(1).byte().argmax(dim=1)  # at the end
        silent = (sound == 0).all(dim=1)
        return ((ends <= sound.shape[1] - zeros[:, None]) & ~silent[:, None]).float()


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)
