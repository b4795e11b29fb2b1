"""A published captioner is fine-tuned on a folder: the reference's loss, its files back, adapters without a trace."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

import chiasm
from chiasm.cli.main import main
from chiasm.training import loop
from chiasm.weights.folder import read_tensors, save_model

RECIPE = Path(__file__).parents[2] / "recipes/finetune_blip.py"
PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "red", "green", "blue", "square", "##s", "two",
]  # fmt: skip
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 40, 220)}
DEC, SIZE = len(PIECES), 24
PLAIN = ("--crop", "1", "--dropout", "0", "--steps", "2", "--batch", "19", "--at-once", "19")


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as `transformers` leaves it: config, weights, vocab.txt, preprocessor."""
    place = tmp_path_factory.mktemp("official")
    torch.manual_seed(0)
    vision = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": SIZE, "patch_size": 8}  # fmt: skip
    text = {"vocab_size": DEC + 2, "hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1,
            "num_attention_heads": 2, "encoder_hidden_size": 16, "max_position_embeddings": 48, "bos_token_id": DEC,
            "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0, "label_smoothing": 0.1}  # fmt: skip
    BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision)).save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(PIECES))
    BlipImageProcessor(size={"height": SIZE, "width": SIZE}, image_mean=[0.4, 0.5, 0.6]).save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 pictures with their words beside them."""
    place, rng = tmp_path_factory.mktemp("shop"), np.random.default_rng(0)
    for i in range(21):
        name, colour = [*COLOURS.items()][i % 3]
        noise = rng.integers(-20, 20, (30, 30, 3))
        Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(place / f"{i:02}.png")
        (place / f"{i:02}.txt").write_text(f"Two {name} squares!" if i % 2 else f"a {name} square")
    return place


def tuned(out: Path, data: Path, weights: Path, *options: str) -> Path:
    words = ["train", str(RECIPE), "--data", str(data), "--weights", str(weights), "--out", str(out)]
    assert main([*words, *options]) == 0
    return out


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "1-caption/metrics.jsonl").read_text().splitlines()]


def test_the_loss_is_that_of_transformers(official: Path, shop: Path, tmp_path: Path) -> None:
    first, *_ = metrics(tuned(tmp_path / "run", shop, official, *PLAIN))
    theirs = BlipForConditionalGeneration.from_pretrained(official).eval()
    words, eyes = BertTokenizer(str(official / "vocab.txt")), BlipImageProcessor.from_pretrained(official)
    rows = [i for i in range(21) if i % 20]  # the others are kept aside
    texts = [(shop / f"{i:02}.txt").read_text().lower().replace("!", "") for i in rows]
    text = words([f"a picture of {one}" for one in texts], padding=True, return_tensors="pt")
    text.input_ids[:, 0] = DEC
    labels = text.input_ids.masked_fill(text.attention_mask == 0, -100)
    labels[:, :4] = -100
    pixels = eyes([Image.open(shop / f"{i:02}.png") for i in rows], return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = theirs(pixels, text.input_ids, attention_mask=text.attention_mask, labels=labels).loss.item()
    assert first["losses"]["language"] == pytest.approx(expected, abs=2e-3)  # two resizers
    assert first["lr"] == 1e-5


def test_the_run_is_a_model_that_captions_and_is_exported(official: Path, shop: Path, tmp_path: Path) -> None:
    run = tuned(tmp_path / "run", shop, official, "--steps", "2", "--batch", "8", "--at-once", "4", "--lr", "1e-2")
    model, before = chiasm.load(run), chiasm.load(official)
    assert model.abilities == before.abilities
    assert model.processor == before.processor
    assert model.tokenizer.encode(["two red squares"]).ids.tolist() == [[2, 13, 8, 11, 12, 3]]
    assert (model.config.prompt, model.config.text.dropout) == (4, 0.1)
    said = tmp_path / "said.jsonl"
    assert main(["caption", str(run), str(shop), "--prompt", "a picture of", "--out", str(said)]) == 0
    assert len(said.read_text().splitlines()) == 21
    theirs = BlipForConditionalGeneration.from_pretrained(chiasm.export(model, tmp_path / "out"))
    was = BlipForConditionalGeneration.from_pretrained(official).state_dict()
    assert theirs.state_dict().keys() == was.keys()
    assert not torch.equal(
        theirs.state_dict()["text_decoder.cls.predictions.bias"], was["text_decoder.cls.predictions.bias"]
    )
    assert main(["train", str(RECIPE), "--data", str(shop), "--weights", str(official), "--out", str(run)]) == 1


@pytest.mark.slow
def test_it_learns_what_pictures_show(official: Path, shop: Path, tmp_path: Path) -> None:
    options = ("--steps", "60", "--batch", "19", "--at-once", "19", "--crop", "1", "--dropout", "0", "--lr", "1e-2")
    seeing = metrics(tuned(tmp_path / "run", shop, official, *options))
    colourless = tmp_path / "grey"
    colourless.mkdir()
    for path in shop.iterdir():
        if path.suffix == ".txt":
            (colourless / path.name).write_bytes(path.read_bytes())
            Image.new("RGB", (30, 30)).save(colourless / f"{path.stem}.png")
    blind = metrics(tuned(tmp_path / "blind", colourless, official, *options))
    assert seeing[-1]["validation"]["held out"] > blind[-1]["validation"]["held out"] + 0.1


def test_adapters_learn_alone_and_leave_a_plain_model(official: Path, shop: Path, tmp_path: Path) -> None:
    options = ("--steps", "4", "--batch", "4", "--lr", "1e-2", "--lora", "2")
    run = tuned(tmp_path / "run", shop, official, *options)
    before, after = (chiasm.load(place).module.state_dict() for place in (official, run))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.rsplit(".", 2)[-2] for name in moved} <= {"q", "k", "v", "out", "up", "down"}
    assert {name.rpartition(".")[2] for name in moved} == {"weight"}
    assert {"vision.layers.0.mlp.up.weight", "decoder.layers.0.read.f.v.weight"} <= moved
    assert {torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3).item() for name in moved} <= {1, 2}


@pytest.mark.slow
def test_adapters_go_on_after_a_kill(
    official: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--steps", "10", "--batch", "4", "--lr", "1e-2", "--lora", "2")
    whole = tuned(tmp_path / "whole", shop, official, *options)
    step = loop._Loop.step

    def dies(self: Any, number: int) -> Any:
        if number == 6:
            raise KeyboardInterrupt
        return step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Loop, "step", dies)
        words = ["train", str(RECIPE), "--data", str(shop), "--weights", str(official), "--out", str(tmp_path / "run")]
        assert main([*words, *options]) == 130
    run = tuned(tmp_path / "run", shop, official, *options)
    for name in ("model/model.safetensors", "best/model.safetensors", "metrics.jsonl"):
        assert (run / "1-caption" / name).read_bytes() == (whole / "1-caption" / name).read_bytes()


def test_a_model_of_our_own_at_another_size(shop: Path, tmp_path: Path) -> None:
    ours = chiasm.create("blip/tiny", device="cpu")
    save_model(tmp_path / "ours", ours.module, ours.card, ours.tokenizer)
    run = tuned(tmp_path / "run", shop, tmp_path / "ours", "--steps", "1", "--batch", "4", "--pixels", "40")
    model = chiasm.load(run)
    assert (model.abilities, model.processor.pixels.size) == (("caption", "features"), 40)
    written = read_tensors(run / "1-caption/model/model.safetensors")["decoder.layers.0.read.f.q.weight"]
    given = ours.module.state_dict()["captioner.decoder.layers.0.read.f.q.weight"]
    assert torch.allclose(written, given, atol=1e-3)


def test_what_cannot_be_tuned_is_one_sentence(
    shop: Path, tmp_path: Path, official: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = chiasm.create("blip/tiny-retrieve", device="cpu")
    save_model(tmp_path / "search", search.module, search.card, search.tokenizer)
    for weights, options, told in (
        (tmp_path / "search", (), "blip/tiny-retrieve, which writes no captions"),
        (official, ("--batch", "10", "--at-once", "4"), "10 pairs cannot be cut into parts of 4"),
        (official, ("--lora", "-1"), "rank is -1"),
    ):
        words = ["train", str(RECIPE), "--data", str(shop), "--weights", str(weights), "--out", str(tmp_path / "run")]
        assert main([*words, *options]) == 1
        assert told in capsys.readouterr().err
