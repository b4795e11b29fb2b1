"""What pairs show becomes tensors by sense, in the order of rows, and a language model can be shown them."""

import numpy as np
import pytest
import torch

from chiasm.archetypes.spliced import Sense, SplicedLM
from chiasm.core.errors import MediaError
from chiasm.core.types import Instructed, Pixels, Wording
from chiasm.data.audio import SoundProcessor
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.pairs import Cloud, Pair, Sound, Video
from chiasm.data.perceive import Looking, Perceives, perceived, shows
from chiasm.data.points import CloudProcessor
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.nn import encdec
from chiasm.nn.beats import BEATs
from chiasm.nn.connector import LinearConnector
from chiasm.nn.points import AllGroups, PointEncoder, SinglePoint
from chiasm.nn.spectrogram import Spectrogram

IMAGES = ImageProcessor(Pixels(size=16, mean=CLIP_MEAN, std=CLIP_STD))
SENSES: dict[str, Perceives] = {
    "image": Looking(IMAGES), "video": Looking(IMAGES, frames=3), "sound": SoundProcessor(frames=8, clips=2),
    "points": CloudProcessor(points=40),
}  # fmt: skip


def test_everything_is_a_few_frames_long() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (5, 20, 20, 3), dtype=np.uint8)
    pairs = [
        Pair("a", frames[0], ""),
        Pair("b", Video(frames), "", {"senses": ["video"]}),
        Pair("c", Sound(rng.normal(size=900), 16_000), "", {"senses": ["sound", "image"]}, frames[1]),
        Pair("d", Cloud(rng.normal(size=(50, 3))), "", {"senses": ["points"]}),
    ]
    shown = perceived(pairs, SENSES)
    sizes = {"image": (2, 1, 3, 16, 16), "video": (1, 3, 3, 16, 16), "sound": (1, 2, 1520), "points": (1, 1, 40, 3)}
    assert {sense: tuple(media.shape) for sense, media in shown.items()} == sizes
    assert torch.equal(shown["image"][:, 0], IMAGES([frames[0], frames[1]]))
    assert torch.equal(shown["video"][0], IMAGES([frames[0], frames[1], frames[3]]))


def test_pairs_of_pictures_need_no_tag() -> None:
    assert [sense for sense, _ in shows(Pair("a", b"", "", second=b""))] == ["image", "image"]
    assert [sense for sense, _ in shows(Pair("a", b"", ""))] == ["image"]


def test_what_does_not_fit_is_said() -> None:
    sounds = [Pair("a", Sound(np.ones(count), 16_000), "", {"senses": ["sound"]}) for count in (900, 5000)]
    with pytest.raises(ValueError, match=r"of sound, the first thing is \(1, 1520\), that of row 1 \(4, 1520\)"):
        perceived(sounds, {"sound": SoundProcessor(frames=8)})
    with pytest.raises(ValueError, match="unknown sense 'sound'"):
        perceived(sounds, {"image": Looking(IMAGES)})
    with pytest.raises(MediaError, match=r"sound 1 \(bytes\)"):
        perceived([sounds[0], Pair("b", b"noise", "", {"senses": ["sound"]})], SENSES)


@pytest.mark.parametrize("end", [AllGroups(), SinglePoint(dim=12)])
def test_a_language_model_is_shown_what_two_senses_perceive(end: AllGroups | SinglePoint) -> None:
    torch.manual_seed(0)
    words = Tokenizer.builtin()
    wording = Wording(start=None, close=3, end=3, pad=0)
    sound = BEATs.Config(
        sound=Spectrogram(mels=16), dim=8, depth=1, heads=2, patch=8, stem=8, kernel=4, groups=2, buckets=8, reach=8
    )
    points = PointEncoder.Config(
        end=end, width=8, depth=1, heads=2, groups=4, neighbours=3, widths=(4, 4, 4, 4), place=4
    )
    ears, hands = (
        Sense.Config(name=name, encoder=encoder, connector=LinearConnector.Config(), cue=f"{name}:")
        for name, encoder in (("audio", sound), ("points", points))
    )
    cfg = SplicedLM.Config(senses=(ears, hands), lm=encdec.tiny(256), wording=wording)
    source = open_source("joint:sound+points:single?count=4")
    pairs = [source[index] for index in range(4)]
    prompter = Prompter(words, wording, {"audio": "sound:", "points": "points:"})
    rows = [prompter.turn(pair.tags["senses"], pair.tags["question"]) for pair in pairs]
    batch = Instructed(
        perceived(pairs, {"audio": SENSES["sound"], **SENSES}),
        prompter(rows, []),
        prompter.said([pair.tags["answers"][0] for pair in pairs]),
    )
    model = cfg.build()
    loss = model(batch)["language"]
    loss.backward()
    assert loss.isfinite()
    unused = [name for name, weight in model.senses.named_parameters() if weight.grad is None]
    assert unused == []
    assert model.perceive("points", batch.shown["points"]).shape == (4, 1, points.tokens, points.dim)
    assert model.perceive("audio", batch.shown["audio"]).shape == (4, 2, sound.tokens(1520), 8)
