"""`chiasm convert` writes what the other side reads, and changes no bit on the way round."""

from pathlib import Path

import pytest
import torch
from transformers import BlipConfig, BlipForImageTextRetrieval

import chiasm
from chiasm.cli.main import main
from chiasm.data.text import Tokenizer

VISION = {
    "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 32,
    "patch_size": 16, "layer_norm_eps": 1e-6,
}  # fmt: skip
TEXT = {
    "vocab_size": 30_524, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 1,
    "num_attention_heads": 1, "encoder_hidden_size": 64, "max_position_embeddings": 16,
}  # fmt: skip


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = BlipConfig(text_config=TEXT, vision_config=VISION, image_text_hidden_size=8)
    BlipForImageTextRetrieval(config).save_pretrained(tmp_path / "hf")
    return tmp_path / "hf"


def test_from_form_to_form_and_back(theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at, first = str(theirs), chiasm.load(theirs).module.state_dict()
    for form in ("lavis", "chiasm", "hf"):
        assert main(["convert", at, str(tmp_path / f"to-{form}"), "--format", form]) == 0
        at = str(tmp_path / f"to-{form}")
    assert "holds blip/custom as hf: match, embed" in capsys.readouterr().out.splitlines()[-1]
    assert main(["convert", str(theirs), str(tmp_path / "to-lavis"), "--format", "lavis", "--overwrite"]) == 0
    again = BlipForImageTextRetrieval.from_pretrained(at).state_dict()
    own = BlipForImageTextRetrieval.from_pretrained(theirs).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in own.items())
    last = chiasm.load(at).module.state_dict()
    assert all(torch.equal(value, last[name]) for name, value in first.items())


def test_half_the_bytes_and_words_beside_them(theirs: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.json"
    Tokenizer.builtin().save(words)
    asked = ["--dtype", "bfloat16", "--tokenizer", str(words), "--format", "chiasm"]
    assert main(["convert", str(theirs), str(tmp_path / "out"), *asked]) == 0
    model = chiasm.load(tmp_path / "out")
    assert model.dtype == torch.bfloat16
    assert model.tokenizer.vocab == Tokenizer.builtin().vocab


def test_what_cannot_be_written_says_what_can(theirs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(theirs), str(tmp_path / "out"), "--format", "openai"]) == 1
    assert "hf, lavis" in capsys.readouterr().err
    assert main(["convert", str(theirs), str(theirs)]) == 1
    assert "choose another folder, or pass --overwrite to replace it" in capsys.readouterr().err
    assert main(["convert", str(theirs), str(theirs), "--overwrite"]) == 1
    assert "did not export" in capsys.readouterr().err
    assert main(["convert", str(theirs), str(tmp_path / "out"), "--format", "onyx"]) == 2
