"""States that are kept on the disk: the same batches as without, and nothing is looked at twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chiasm.archetypes.spliced import SplicedLM, seeing
from chiasm.core.types import Pixels, Wording
from chiasm.data.features import Recalled, Remembered
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Instructions
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair
from chiasm.data.prompts import Prompter
from chiasm.data.text import Tokenizer
from chiasm.nn import decoders
from chiasm.nn.connector import LinearConnector
from chiasm.nn.vit import PatchStem, ViT

WORDS = Tokenizer.builtin()
WORDING = Wording(start=2, close=None, end=3, pad=0)
IMAGES = ImageProcessor(Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD))
FORM = Instructions(Prompter(WORDS, WORDING, {"image": ""}))
VIT = ViT.Config(dim=8, depth=1, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)


class _Pairs:
    """Six pictures, of which one is broken."""

    fingerprint = "six"

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Pair:
        square = np.random.default_rng(index).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        return Pair(str(index), b"broken" if index == 3 else square, "a red circle")


@pytest.fixture
def model() -> SplicedLM:
    torch.manual_seed(0)
    made = seeing(VIT, LinearConnector.Config(), decoders.tiny(WORDS.vocab), WORDING).build().eval()
    made.senses["image"].encoder.requires_grad_(requires_grad=False)
    return made


def remembering(folder: Path, model: SplicedLM) -> PairLoader:
    shows = Remembered(folder, _Pairs(), IMAGES)
    loader = PairLoader(_Pairs(), shows, WORDS, batch=2, seed=0, form=Recalled(FORM))
    loader.watch(model)
    return loader


def test_the_losses_are_those_of_pictures(tmp_path: Path, model: SplicedLM) -> None:
    plain, kept = PairLoader(_Pairs(), IMAGES, WORDS, batch=2, seed=0, form=FORM), remembering(tmp_path, model)
    for _ in range(7):
        torch.testing.assert_close(model(next(kept))["language"], model(next(plain))["language"])
    assert [one.id for one in kept.skipped] == [one.id for one in plain.skipped] == ["3"]


def test_nothing_is_looked_at_twice(tmp_path: Path, model: SplicedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, see = list[Tensor](), SplicedLM.perceive

    def counted(self: SplicedLM, sense: str, media: Tensor) -> Any:
        seen.append(media)
        return see(self, sense, media)

    monkeypatch.setattr(SplicedLM, "perceive", counted)
    for _ in range(2):  # the second is another process
        loader = remembering(tmp_path, model)
        for _ in range(7):
            next(loader)
    assert len(seen) == 5 + 2  # each good picture once, and the size of what comes out in each process
    with torch.no_grad():
        model.senses["image"].encoder.position.add_(1.0)
    next(remembering(tmp_path, model))
    assert len(seen) > 8, "another encoder sees anew"


def test_what_learns_is_not_kept(tmp_path: Path, model: SplicedLM) -> None:
    with pytest.raises(ValueError, match="nobody looks at these pictures yet"):
        next(PairLoader(_Pairs(), Remembered(tmp_path, _Pairs(), IMAGES), WORDS, batch=2, seed=0, form=Recalled(FORM)))
    with pytest.raises(ValueError, match="a Linear has no senses"):
        Remembered(tmp_path, _Pairs(), IMAGES).watch(torch.nn.Linear(1, 1))
    model.requires_grad_(requires_grad=True)
    with pytest.raises(ValueError, match="the encoder of image learns"):
        Remembered(tmp_path, _Pairs(), IMAGES).watch(model)
