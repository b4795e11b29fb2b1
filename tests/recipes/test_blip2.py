"""BLIP-2 from its recipe: over what is trained first or is there, for all that may come after, killed or not."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

import chiasm
from chiasm.cli.main import main
from chiasm.data.sources import open_source
from chiasm.training.run import Step
from chiasm.training.train import train

RECIPE = Path(__file__).parents[2] / "recipes" / "blip2.py"
SHORT = ["--data", "world:single?count=40", "--batch", "4"]
SHORT += [word for name in ("see", "words", "align", "generate", "tune") for word in (f"--{name}", "1")]


def _launched(out: Path, *options: str) -> chiasm.Predictor:
    assert main(["train", str(RECIPE), *SHORT, *options, "--out", str(out)]) == 0
    return chiasm.load(out)


def _below(model: chiasm.Predictor, path: str) -> Mapping[str, torch.Tensor]:
    return model.module.get_submodule(path).state_dict()


def _same(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], value) for name, value in theirs.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs up to answers."""
    place = tmp_path_factory.mktemp("blip2") / "vqa"
    _launched(place, "--then", "vqa")
    return place


def test_what_is_there_need_not_be_trained(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(path.name for path in whole.iterdir()) == ["1-see", "2-words", "3-align", "4-generate", "5-vqa"]
    given = ("--vision", str(whole / "1-see"), "--lm", str(whole / "2-words"))
    model = _launched(tmp_path / "less", *given)
    assert sorted(path.name for path in (tmp_path / "less").iterdir()) == ["1-align", "2-generate"]
    both = chiasm.load(whole / "4-generate").module.state_dict()
    assert _same(model.module.state_dict(), both)
    out = str(tmp_path / "none")
    assert main(["train", str(RECIPE), *SHORT, "--vision", str(whole), "--out", out]) == 1
    assert "--vision takes a CLIP, but" in capsys.readouterr().err
    assert main(["train", str(RECIPE), *SHORT, "--lm", str(whole / "3-align"), "--out", out]) == 1
    assert "--lm takes a language model, but" in capsys.readouterr().err


def test_what_is_frozen_stays(whole: Path) -> None:
    see, words, align, told = (chiasm.load(whole / name) for name in ("1-see", "2-words", "3-align", "4-generate"))
    assert _same(_below(align, "retriever.vision"), _below(see, "vision"))
    assert _same(_below(told, "senses.image.encoder"), _below(see, "vision"))
    assert _same(_below(told, "lm"), _below(words, "lm"))
    assert not _same(_below(told, "senses.image.connector.qformer.layers"), _below(align, "retriever.qformer.layers"))
    asked = chiasm.load(whole)
    assert _same(_below(asked, "lm"), _below(words, "lm"))
    assert not _same(_below(asked, "senses.image.encoder"), _below(see, "vision"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "runs", "preset", "verb"),
    [
        ("nothing", ["1-align"], "tiny-aligner", "match"),
        ("retrieve", ["1-align", "2-retrieve"], "tiny-aligner", "rerank"),
        ("caption", ["1-align", "2-generate", "3-caption"], "tiny", "caption"),
    ],
)
def test_what_comes_after(then: str, runs: list[str], preset: str, verb: str, whole: Path, tmp_path: Path) -> None:
    given = ("--vision", str(whole / "1-see"), "--lm", str(whole / "2-words"))
    model = _launched(tmp_path, "--then", then, *given)
    assert sorted(path.name for path in tmp_path.iterdir()) == runs
    assert (model.system, model.preset) == ("blip2", preset)
    assert verb in model.abilities


@pytest.mark.slow
def test_an_encoder_and_a_decoder(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--vision", str(whole / "1-see"))
    _launched(tmp_path / "run", "--language", "encoder-decoder", "--then", "vqa", *given)
    pictures, source = tmp_path / "pictures", open_source("world:single?count=3")
    pictures.mkdir()
    for row in range(3):
        Image.fromarray(source[row].image).save(pictures / f"{row}.png")
    capsys.readouterr()
    assert main(["answer", str(tmp_path / "run"), str(pictures), "what colour is the thing?"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3
    assert main(["caption", str(tmp_path / "run/3-generate"), str(pictures), "--prompt", "a"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3


def test_questions_are_read_behind_the_text_of_their_picture() -> None:
    recipe = _recipe()
    texts, questions = open_source("world:single?count=3"), open_source("questions:single?count=3")
    read = recipe.Read(texts, questions, "question {} answer")
    asked = questions[1].tags
    assert read[1].text == f"{texts[1].text} question {asked['question']} answer {asked['answers'][0]}"
    other = recipe.Read(open_source("world:single?count=3&split=val"), questions, "question {} answer")
    assert other[1].text == f" question {asked['question']} answer {asked['answers'][0]}"
    assert recipe.Read(texts, texts, "{}")[0].text == ""  # no question, nothing to read


def test_answers_need_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("a red ring")
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    words = ["train", str(RECIPE), "--data", str(tmp_path), "--then", "vqa", "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "--then vqa learns from questions, but there are none" in capsys.readouterr().err


class _KilledError(Exception):
    """As good as a kill: whatever was not written is gone."""


def _killing(left: int) -> Callable[[Step], None]:
    def on_step(_: Step) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise _KilledError

    return on_step


@pytest.mark.slow
def test_killed_and_resumed_across_stages(tmp_path: Path) -> None:
    recipe = _recipe()
    options = recipe.Options(data="world:single?count=40", batch=4, see=3, words=3, align=3, generate=3)
    runs = [replace(run, checkpoint_every=2, validate=None) for run in recipe.runs(options)]
    straight = train(runs, tmp_path / "straight").state_dict()
    kills = [3, 2, 4, 5]  # at the end of a stage, before a checkpoint, and over a boundary
    for left in kills:
        with pytest.raises(_KilledError):
            train(runs, tmp_path / "killed", on_step=_killing(left))
    assert _same(train(runs, tmp_path / "killed").state_dict(), straight)
    name = "4-generate/metrics.jsonl"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def _recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe_blip2", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
