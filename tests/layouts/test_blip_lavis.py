"""BLIP's original files: told from shapes alone, and written so that they read back to the same bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch

import chiasm
from chiasm.archetypes.med import Captioner
from chiasm.core.types import Pixels
from chiasm.layouts.blip_lavis import MARKERS
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)


def captioner() -> Predictor:
    vision = ViT.Config(dim=192, depth=2, heads=3, image=32, stem=PatchStem(patch=8))
    text = Bert.Config(vocab=30_524, image_dim=192, dim=64, depth=3, heads=1, reads=(0, 1, 2), max_len=24)
    config = Captioner.Config(vision=vision, text=text, markers=MARKERS)
    torch.manual_seed(0)
    card = ModelCard(
        system="blip", preset="custom", config=config,
        pixels=Pixels(size=32, mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)),
    )  # fmt: skip
    return Predictor(config.build(), card, None)


def test_shapes_tell_everything_and_tied_tensors_are_stored_twice(tmp_path: Path) -> None:
    model = captioner()
    path = chiasm.export(model, tmp_path / "out", format="lavis") / "lavis.pth"
    held = torch.load(path, weights_only=True)["model"]
    words = held["text_decoder.bert.embeddings.word_embeddings.weight"]
    assert torch.equal(held["text_decoder.cls.predictions.decoder.weight"], words)
    again = chiasm.load(path)
    assert again.config == model.config
    assert again.processor.pixels == model.processor.pixels
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[name]), name


def test_a_tokenizer_is_asked_for_when_words_are(tmp_path: Path) -> None:
    model = chiasm.load(chiasm.export(captioner(), tmp_path / "out", format="lavis"))
    with pytest.raises(ValueError, match="brings no tokenizer"):
        model.caption(PICTURE)


def test_untied_copies_are_an_error(tmp_path: Path) -> None:
    path = chiasm.export(captioner(), tmp_path / "out", format="lavis") / "lavis.pth"
    held = torch.load(path, weights_only=True)
    words = held["model"]["text_decoder.cls.predictions.decoder.weight"]
    held["model"]["text_decoder.cls.predictions.decoder.weight"] = words + 1
    torch.save(held, path)
    with pytest.raises(ValueError, match=r"decoder.weight .* should equal .*word_embeddings.weight"):
        chiasm.load(path)


def test_a_missing_and_a_surplus_tensor_are_both_named(tmp_path: Path) -> None:
    path = chiasm.export(captioner(), tmp_path / "out", format="lavis") / "lavis.pth"
    held = torch.load(path, weights_only=True)["model"]
    del held["visual_encoder.norm.bias"]
    torch.save(held, path)
    with pytest.raises(ValueError, match=r"the file lacks vision.norm.bias"):
        chiasm.load(path)
    torch.save(held | {"visual_encoder.head.weight": torch.ones(1)}, path)
    with pytest.raises(ValueError, match=r"does not know: visual_encoder.head.weight"):
        chiasm.load(path)
