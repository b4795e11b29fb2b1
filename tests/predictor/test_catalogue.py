"""The catalogue says what the folder of systems holds, and is right about it."""

import pytest

from chiasm import catalogue, create
from chiasm.predictor.catalogue import able, config_of
from chiasm.systems import blip
from chiasm.weights.folder import outline


def test_blip_is_listed() -> None:
    info = catalogue()["blip"]
    assert (info.name, info.paper) == ("blip", "arXiv:2201.12086")
    assert info.presets == tuple(blip.SYSTEM.presets)
    assert info.stages == ("pretrain", "caption", "retrieve", "vqa", "nlvr2")
    assert info.abilities == ("caption", "match", "embed", "classify", "rerank", "features", "answer")
    assert "Salesforce/blip-image-captioning-base" in info.weights
    assert all(info.weights for info in catalogue().values())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "BLIP/tiny",
            "did you mean 'blip/tiny'? There are: albef/tiny, blip/tiny, blip2/tiny, clip/tiny, ",
        ),
        ("blip2/Tiny-T5", "did you mean 'blip2/tiny-t5'? There are: blip2/aligner, "),
        ("clip", "There are: clip/tiny, clip/vit-b-16, "),
        ("clip/nope", "There are: clip/tiny, clip/vit-b-16, "),
        ("nope/nope", "There are: albef, blip, blip2, clip, "),
    ],
)
def test_what_there_is_not_names_what_is_near(name: str, told: str) -> None:
    with pytest.raises(ValueError, match="unknown model") as error:
        config_of(name)
    assert told in str(error.value)
    assert len(str(error.value)) < 450


def test_parameters_are_those_of_the_paper() -> None:
    assert round(catalogue()["blip"].parameters("base") / 1e6) == 252


@pytest.mark.parametrize("name", ["blip2/tiny-t5", "xinstructblip/tiny", "xinstructblip/tiny-linear"])
def test_parts_that_are_counted_apart_are_the_whole_model(name: str) -> None:
    system, preset = name.split("/")
    whole = sum(parameter.numel() for parameter in outline(config_of(name)).parameters())
    assert catalogue()[system].parameters(preset) == whole


def test_what_a_preset_can_is_what_its_model_can() -> None:
    info = catalogue()["blip"]
    for preset in ("tiny", "tiny-caption", "tiny-retrieve", "tiny-vqa", "tiny-nlvr2"):
        model = create(f"blip/{preset}", device="cpu")
        assert info.abilities_of(preset) == model.abilities
        for verb in info.abilities:
            assert (preset in able(verb)["blip"]) == (verb in model.abilities)
    assert info.abilities_of("large-caption") == info.abilities_of("tiny-caption")
