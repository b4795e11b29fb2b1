"""The small presets leave for transformers, whose classes open them without a complaint, and come back as they were."""

from pathlib import Path

import pytest
import torch
import transformers

import chiasm

CLASSES = {
    "clip/tiny": "CLIPModel",
    "blip/tiny-caption": "BlipForConditionalGeneration",
    "blip/tiny-retrieve": "BlipForImageTextRetrieval",
    "blip/tiny-vqa": "BlipForQuestionAnswering",
    "blip2/tiny-retriever": "Blip2ForImageTextRetrieval",
    "blip2/tiny": "Blip2ForConditionalGeneration",
    "blip2/tiny-t5": "Blip2ForConditionalGeneration",
    "instructblip/tiny": "InstructBlipForConditionalGeneration",
    "instructblip/tiny-t5": "InstructBlipForConditionalGeneration",
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_small_preset_goes_to_transformers_and_back(name: str, tmp_path: Path) -> None:
    model = chiasm.create(name, seed=3, device="cpu")
    place = chiasm.export(model, tmp_path / "out")
    theirs, told = getattr(transformers, CLASSES[name]).from_pretrained(place, output_loading_info=True)
    assert not any(told.values()), "no key is missing, left over or of another shape"
    assert sum(each.numel() for each in theirs.parameters()) > 100_000
    back = chiasm.load(place, device="cpu")
    assert type(back.config) is type(model.config)
    before, after = model.module.state_dict(), back.module.state_dict()
    assert all(key.startswith("alignment.") for key in before.keys() - after.keys()), "what only training needs"
    assert all(torch.equal(before[key], value) for key, value in after.items())
    if name == "blip2/tiny":
        assert back.config.wording.question == model.config.wording.question
