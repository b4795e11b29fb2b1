"""A model without a tokenizer takes that of its family, when the first text comes and not before."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import chiasm
from chiasm.archetypes.dual import DualEncoder
from chiasm.core.system import System, Vocabulary
from chiasm.data.text import Tokenizer
from chiasm.nn.mlp import Activation
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, ViT
from chiasm.predictor import open as opening
from chiasm.predictor import words
from chiasm.predictor.catalogue import systems
from chiasm.predictor.parts import pixels_of
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

PICTURE = np.zeros((9, 9, 3), np.uint8)
OWN = Tokenizer.builtin()
QUICK = Activation.QUICK_GELU
VISION = ViT.Config(dim=128, depth=1, heads=2, image=16, stem=NormedStem(patch=8), activation=QUICK, eps=1e-5)
TEXT = TextTower.Config(vocab=OWN.vocab, dim=64, depth=1, heads=1, max_len=9, activation=QUICK)
CONFIG = DualEncoder.Config(vision=VISION, text=TEXT, embed=8)
CARD = ModelCard(system="clip", preset="custom", config=CONFIG, pixels=pixels_of(CONFIG))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return chiasm.export(Predictor(CONFIG.build(), CARD, None), tmp_path / "out", format="openai")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Mapping[str, Any]]:
    """The family's tokenizer has as many words as ours; what the hub is asked for."""
    OWN.save(tmp_path / "hub/tokenizer.json")
    usual = Vocabulary(name="family/words", revision="abc", words=OWN.vocab)
    system: System = replace(systems()["clip"], vocabulary=usual)
    asked: list[Mapping[str, Any]] = []

    def fetched(name: str, **options: Any) -> Path:
        asked.append({"name": name, **options})
        return tmp_path / "hub"

    monkeypatch.setattr(words, "systems", lambda: {"clip": system})
    for module in (words, opening):
        monkeypatch.setattr(module, "fetch_words", fetched)
    return asked


def test_it_comes_with_the_first_text_and_once(file: Path, hub: list[Mapping[str, Any]]) -> None:
    model = chiasm.load(file, offline=True, token="key")
    model.embed(images=PICTURE)
    assert not model.has_tokenizer
    assert not hub
    model.embed(texts="a red circle")
    assert model.classify(PICTURE, ["a", "b"]).items
    assert model.has_tokenizer
    assert hub == [{"name": "family/words", "revision": "abc", "token": "key", "offline": True}]


def test_a_name_on_the_hub_will_do(file: Path, hub: list[Mapping[str, Any]]) -> None:
    assert chiasm.load(file, tokenizer="owner/words").tokenizer.vocab == OWN.vocab
    assert chiasm.create("clip/tiny", tokenizer="owner/words").tokenizer.vocab == OWN.vocab
    assert [one["name"] for one in hub] == ["owner/words", "owner/words"]


def test_another_number_of_words_is_not_the_familys(file: Path) -> None:
    with pytest.raises(
        ValueError, match=r"brings no tokenizer: give it one as tokenizer=.*49408 words and the model 256"
    ):
        chiasm.load(file).embed(texts="a")


def test_offline_is_said_in_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Vocabulary(name="nobody/words", revision="abc", words=OWN.vocab)
    monkeypatch.setattr(words, "systems", lambda: {"clip": replace(systems()["clip"], vocabulary=usual)})
    model = chiasm.load(file, offline=True)
    with pytest.raises(
        ValueError,
        match=r"no tokenizer, and its family's cannot be had: .*nobody/words at revision abc is not in the hub's cache"
        r".*; give it one as tokenizer=",
    ):
        model.embed(texts="a")


def test_a_family_without_one_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "systems", lambda: {"clip": replace(systems()["clip"], vocabulary=None)})
    with pytest.raises(
        ValueError, match=r"brings no tokenizer: give it one as tokenizer= \(--tokenizer\), .* Tokenizer$"
    ):
        words.usual_tokenizer(CARD)
