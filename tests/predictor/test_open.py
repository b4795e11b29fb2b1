"""Names and folders become models; what is no model is told in a sentence."""

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import chiasm
from chiasm.data.text import Tokenizer
from chiasm.predictor import open as opening
from chiasm.predictor.catalogue import config_of
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import save_model
from chiasm.weights.state import state

Pictures = list[np.ndarray[Any, Any]]


def same(one: Predictor, other: Predictor) -> bool:
    ours, theirs = state(one.module), state(other.module)
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_seed_makes_the_weights(model: Predictor) -> None:
    before = torch.get_rng_state()
    again = chiasm.create("blip/tiny", seed=3, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert same(model, again)
    assert not same(model, chiasm.create("blip/tiny", seed=4, device="cpu"))
    assert (again.system, again.preset, again.device.type, again.dtype) == ("blip", "tiny", "cpu", torch.float32)
    assert again.config == model.config
    assert not again.module.training


def test_a_saved_model_answers_the_same(model: Predictor, pictures: Pictures, tmp_path: Path) -> None:
    save_model(tmp_path / "run/1-pretrain/model", model.module, model.card, model.tokenizer)
    (tmp_path / "run/1-pretrain/done.json").write_text("{}")
    for place in (tmp_path / "run", str(tmp_path / "run/1-pretrain/model")):
        again = chiasm.load(place, device="cpu")
        assert same(again, model)
        assert again.caption(pictures[0]).text == model.caption(pictures[0]).text
        torch.testing.assert_close(again.embed(texts="a red circle"), model.embed(texts="a red circle"))
        assert again.abilities == model.abilities
    half = chiasm.load(tmp_path / "run", device="cpu", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    exact = chiasm.load(tmp_path / "run", device="cpu", preprocess="exact").embed(images=pictures)
    assert not torch.equal(exact, model.embed(images=pictures))
    torch.testing.assert_close(exact, model.embed(images=pictures), atol=0.05, rtol=0)


def test_a_folder_wins_over_a_preset(model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path / "blip/tiny", model.module, model.card, model.tokenizer)
    monkeypatch.chdir(tmp_path)
    assert same(chiasm.load("blip/tiny", device="cpu"), model)
    shutil.rmtree(tmp_path / "blip")
    with pytest.raises(ValueError, match=r"names a preset.*chiasm\.create\('blip/tiny'\)"):
        chiasm.load("blip/tiny")


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    file = tmp_path / "published" / "model.pth"
    file.parent.mkdir()
    file.touch()
    for source, message in (
        (file, "is damaged, or no file of torch's"),
        (tmp_path, "has no model yet"),
        ("blip/tiny", r"chiasm\.create\('blip/tiny'\)"),
        ("blip", r"chiasm\.create\('blip/tiny'\)"),
        ("Salesforce/blip-image-captioning-base", "is not in the hub's cache"),
        (tmp_path / "nowhere", "there is no .*nowhere"),
    ):
        with pytest.raises(ValueError, match=message):
            chiasm.load(source)
    for name in ("blip/tny", "blp/tiny", "tiny", "blip"):
        with pytest.raises(ValueError, match=r"unknown model .*did you mean '\w+/"):
            chiasm.create(name)


def test_devices_are_checked() -> None:
    with pytest.raises(ValueError, match="'cpuu' is no device"):
        chiasm.create("blip/tiny", device="cpuu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device 'cuda:1' was asked for.*finds no such device"):
            chiasm.create("blip/tiny", device="cuda:1")
        with pytest.raises(ValueError, match=r"device 'cuda' was asked for.*finds no such device"):
            chiasm.create("blip/tiny", device="cpu").to("cuda")


def test_precisions_go_by_name_and_names_are_names(model: Predictor, tmp_path: Path) -> None:
    folder = chiasm.export(model, tmp_path / "out", format="chiasm")
    assert chiasm.load(folder, dtype="bfloat16", device="cpu").dtype == torch.bfloat16
    for asked in (lambda: chiasm.load(folder, dtype="float23"), lambda: model.to(dtype="float23")):
        with pytest.raises(ValueError, match="unknown dtype 'float23'; did you mean 'float32'"):
            asked()
    with pytest.raises(ValueError, match="'xyz' is no device"):
        model.to("xyz")
    nothing: Any = None
    for open_it, told in ((chiasm.load, "load takes a path"), (chiasm.create, "create takes the name of a preset")):
        with pytest.raises(ValueError, match=f"None is no name: {told}"):
            inspect.unwrap(open_it)(nothing)


def test_a_tokenizer_with_more_words_than_the_model_is_refused(model: Predictor, tmp_path: Path) -> None:
    folder = chiasm.export(model, tmp_path / "out", format="chiasm")
    count = model.tokenizer.vocab
    many = Tokenizer.train([f"{a}{b}{c}" for a in "abcdefgh" for b in "ijklmnop" for c in "qrstuvwx"], vocab=count + 50)
    with pytest.raises(ValueError, match=rf"the tokenizer has {many.vocab} words, and the model knows {count}"):
        chiasm.load(folder, tokenizer=many)


def test_any_preset_takes_a_tokenizer(pictures: Pictures, tmp_path: Path) -> None:
    trained = Tokenizer.train(["a red circle", "a blue square"], vocab=200)
    trained.save(tmp_path / "tokenizer.json")
    for given in (trained, tmp_path / "tokenizer.json", str(tmp_path / "tokenizer.json")):
        model = chiasm.create("blip/tiny", tokenizer=given, device="cpu")
        assert model.tokenizer.vocab == trained.vocab
        assert model.embed(texts="a red circle").shape == (1, 64)
        assert isinstance(model.caption(pictures[0]).text, str)
    with pytest.raises(ValueError, match="cannot read the tokenizer"):
        chiasm.create("blip/tiny", tokenizer=tmp_path / "no.json")


def test_a_published_size_needs_a_tokenizer_once_text_comes(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "config_of", lambda _: config_of("blip/tiny"))
    model = chiasm.create("blip/base", device="cpu")
    assert model.embed(images=pictures).shape == (6, 64)
    for ask in (lambda: model.embed(texts="a"), lambda: model.caption(pictures[0]), lambda: model.tokenizer):
        with pytest.raises(ValueError, match="no tokenizer: give it one as tokenizer="):
            ask()
