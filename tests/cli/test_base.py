"""`--base`: a file of LAVIS's that holds only what was trained, over the rest of the model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests import vocabularies

import chiasm
from chiasm.archetypes.spliced import seeing
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.data.text import Tokenizer
from chiasm.layouts.wordings import T5
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.encdec import EncDecLM, Gated, OwnHead
from chiasm.nn.mlp import Activation
from chiasm.nn.qformer import QFormer
from chiasm.nn.vit import Bare, PatchStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

from .conftest import Call

EYES = ViT.Config(dim=88, depth=1, heads=1, image=16, stem=PatchStem(patch=8), expansion=100 / 88, end=Bare())
LOOKS = QFormer.Config(image_dim=88, text=None, queries=3, dim=64, depth=1, heads=1, reads=(0,))

LM = EncDecLM.Config(
    vocab=9, dim=24, depth=1, decoder_depth=1, heads=2, hidden=28, mlp=Gated(activation=Activation.GELU), head=OwnHead()
)


@pytest.fixture
def whole(tmp_path: Path) -> Predictor:
    """A small BLIP-2 with T5, of random weights."""
    words = Tokenizer.load(vocabularies.t5(tmp_path / "words"))
    config = seeing(EYES, QFormerConnector.Config(qformer=LOOKS, eps=1e-5), replace(LM, vocab=words.vocab), T5)
    torch.manual_seed(0)
    card = ModelCard(
        system="blip2", preset="custom", config=config, pixels=Pixels(size=16, mean=CLIP_MEAN, std=CLIP_STD)
    )
    return Predictor(config.build(), card, words)


def test_what_was_trained_is_asked_and_converted_over_its_base(
    whole: Predictor, pictures: Path, tmp_path: Path, call: Call
) -> None:
    held = torch.load(chiasm.export(whole, tmp_path / "whole", format="lavis") / "lavis.pth", weights_only=True)
    trained = {key: one for key, one in held["model"].items() if not key.startswith(("visual_encoder.", "t5_model."))}
    torch.save({"model": trained}, tmp_path / "trained.pth")
    answers = [one.logprob for one in (whole.caption(pictures / "a.png"), whole.answer(pictures / "a.png", "what?"))]
    tensors = {key: one.clone() for key, one in whole.module.state_dict().items()}
    with torch.no_grad():
        for key, weight in whole.module.named_parameters():
            if ".connector." in key:
                weight.zero_()
    base = chiasm.export(whole, tmp_path / "base", format="chiasm")
    said = call("convert", tmp_path / "trained.pth", tmp_path / "out", "--base", base, "--format", "chiasm")
    assert said.code == 0, said.err
    for key, one in chiasm.load(tmp_path / "out").module.state_dict().items():
        assert torch.equal(one, tensors[key]), key
    for verb, more, logprob in zip(("caption", "answer"), ([], ["what?"]), answers, strict=True):
        said = call(verb, tmp_path / "trained.pth", pictures / "a.png", *more, "--base", base, "--json")
        assert json.loads(said.out)["logprob"] == pytest.approx(logprob, abs=1e-4)
        alone = call(verb, tmp_path / "trained.pth", pictures / "a.png", *more)
        assert (alone.code, "Pass base= (--base), the same model" in alone.err) == (1, True)


def test_a_file_that_is_not_there_is_told_before_its_base_is_read(pictures: Path, call: Call) -> None:
    said = call("caption", "nowhere.pth", pictures / "a.png", "--base", "nor-this")
    assert (said.code, "there is no nowhere.pth: where base= (--base)" in said.err) == (1, True)
