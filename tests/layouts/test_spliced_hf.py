"""BLIP-2 and InstructBLIP with a language model, against `transformers`: numbers, words, and files there and back."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
)

import chiasm
from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.dialect import Found
from chiasm.core.types import Instructed, Prompt, Text
from chiasm.data.text import padded, padded_left
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Greedy, Limits
from chiasm.layouts import spliced_hf
from chiasm.nn import vit
from chiasm.predictor.catalogue import config_of
from chiasm.predictor.verbs import Predictor
from chiasm.systems import blip2

VISION = {
    "hidden_size": 22, "intermediate_size": 35, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 24,
    "patch_size": 8, "layer_norm_eps": 1e-2,
}  # fmt: skip
QFORMER = {
    "vocab_size": 50, "hidden_size": 24, "intermediate_size": 41, "hidden_act": "silu", "num_hidden_layers": 2,
    "num_attention_heads": 3, "max_position_embeddings": 40, "encoder_hidden_size": 22, "layer_norm_eps": 1e-2,
}  # fmt: skip
QUERIES, IMAGE, VOCAB = 5, 59, 61
SIZES = {"vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 6}
OPT = {
    "model_type": "opt", **SIZES, "ffn_dim": 40, "word_embed_proj_dim": 24, "max_position_embeddings": 60,
    "bos_token_id": 2, "eos_token_id": 7, "pad_token_id": 1,
}  # fmt: skip
LLAMA = {
    "model_type": "llama", **SIZES, "num_key_value_heads": 2, "intermediate_size": 44, "max_position_embeddings": 60,
    "rms_norm_eps": 1e-2, "bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 60,
}  # fmt: skip
T5 = {
    "model_type": "t5", "vocab_size": VOCAB, "d_model": 20, "d_kv": 6, "d_ff": 28, "num_layers": 2,
    "num_decoder_layers": 1, "num_heads": 3, "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
TIED_T5 = T5 | {"num_layers": 1}  # as transformers 5 begins it: the head is the word vectors, unscaled
BLIP2 = (Blip2Config, Blip2ForConditionalGeneration)
INSTRUCTBLIP = (InstructBlipConfig, InstructBlipForConditionalGeneration)
MADE: dict[str, Any] = {
    "blip2-opt": (*BLIP2, OPT),
    "blip2-t5": (*BLIP2, T5),
    "blip2-tied-t5": (*BLIP2, TIED_T5),
    "instructblip-llama": (*INSTRUCTBLIP, LLAMA),
    "instructblip-t5": (*INSTRUCTBLIP, T5),
}
QUICK = {"blip2-opt", "blip2-tied-t5", "instructblip-t5"}  # each system and each kind of language model and head
ASKED = [[10, 11, 12, 13, 14], [], [20, 21]]  # words of prompts of different lengths
HINTS = [[5, 30, 31, 6], [5, 6], [5, 32, 33, 34, 35, 6]]
SAID = [[40, 41], [42], [43, 44, 45, 46]]


@dataclass(frozen=True)
class Both:
    """One model, theirs and ours, and the same things to read for each."""

    theirs: Any
    folder: Path
    ours: Predictor

    @property
    def module(self) -> SplicedLM:
        assert isinstance(self.ours.module, SplicedLM)
        return self.ours.module

    @property
    def encodes(self) -> bool:
        return bool(self.theirs.language_model.config.is_encoder_decoder)

    @property
    def hinted(self) -> bool:
        return isinstance(self.theirs, InstructBlipForConditionalGeneration)

    @property
    def end(self) -> int:
        return int(self.theirs.config.text_config.eos_token_id)

    def words(self, row: list[int]) -> list[int]:
        """A prompt as its tokenizer has it."""
        return [*row, self.end] if self.encodes else [2, *row]

    def asked(self) -> Prompt:
        """For ours."""
        pad = self.theirs.config.text_config.pad_token_id
        words = padded_left([[-1, *self.words(row)] for row in ASKED], pad)
        return Prompt(words, padded(HINTS, 0) if self.hinted else None)

    def given(self) -> dict[str, Tensor]:
        """For theirs, as their processors pad it: on the right for T5, and else between picture and words."""
        pad = self.theirs.config.text_config.pad_token_id
        text = (padded if self.encodes else padded_left)([self.words(row) for row in ASKED], pad)
        ids = torch.cat([torch.full((3, QUERIES), IMAGE), text.ids], dim=1)
        mask = torch.cat([torch.ones(3, QUERIES, dtype=torch.bool), text.mask], dim=1)
        return {"pixel_values": pixels(), "input_ids": ids, "attention_mask": mask.long(), **self.hints(slice(None))}

    def hints(self, rows: slice) -> dict[str, Tensor]:
        text = padded(HINTS[rows], 0)
        return {"qformer_input_ids": text.ids, "qformer_attention_mask": text.mask.long()} if self.hinted else {}

    @torch.no_grad()
    def learns(self, row: int) -> tuple[Tensor, Tensor]:
        """Their logits of what is said after one prompt, and their loss."""
        said, asked = [*SAID[row], self.end], [IMAGE] * QUERIES + self.words(ASKED[row])
        ids, labels = ([asked], [said]) if self.encodes else ([asked + said], [[-100] * len(asked) + said])
        out = self.theirs(
            pixel_values=pixels()[row : row + 1],
            input_ids=torch.tensor(ids),
            labels=torch.tensor(labels),
            **self.hints(slice(row, row + 1)),
        )
        return out.logits[0] if self.encodes else out.logits[0, len(asked) - 1 : -1], out.loss


def pixels() -> Tensor:
    return torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))


@cache
def made(name: str) -> Any:
    torch.manual_seed(0)
    kind, model, text = MADE[name]
    about = {"vision_config": VISION, "qformer_config": QFORMER, "text_config": text}
    theirs = model(kind(**about, num_query_tokens=QUERIES, image_token_index=IMAGE)).eval()
    if text is T5:
        theirs.language_model.lm_head.weight = nn.Parameter(torch.randn(VOCAB, 20))
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return theirs


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MADE],
)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    theirs, folder = made(request.param), tmp_path_factory.mktemp("theirs")
    theirs.save_pretrained(folder, max_shard_size="30KB")
    return Both(theirs, folder, chiasm.load(folder, device="cpu"))


@torch.no_grad()
def test_logits_loss_and_words_are_theirs(both: Both) -> None:
    assert len(list(both.folder.glob("*.safetensors"))) > 1, "in shards"
    module = both.module
    said = padded([[*row, both.end] for row in SAID], 0)
    given, present = module.splice({"image": module.perceive("image", pixels()[:, None])}, both.asked())
    logits = module.lm.logits(module.lm.predict(given, present, said))
    rows = [both.learns(row) for row in range(3)]
    torch.testing.assert_close(logits, torch.cat([row for row, _ in rows]), rtol=1e-4, atol=1e-4)
    loss = sum(loss * (len(row) + 1) for (_, loss), row in zip(rows, SAID, strict=True)) / int(said.mask.sum())
    batch = Instructed({"image": pixels()[:, None]}, both.asked(), said)
    torch.testing.assert_close(module(batch)["language"], loss, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_what_is_said_is_what_transformers_generates(both: Both) -> None:
    given, teller = both.module.listen({"image": both.module.perceive("image", pixels()[:, None])}, both.asked())
    nothing, asked = torch.empty(3, 0, dtype=torch.int64), both.given()
    for strategy, beams in ((Greedy(), 1), (Beam(3), 3)):
        ours = generate(teller, given, Text(nothing, nothing.bool()), strategy, Limits(7))
        out = both.theirs.generate(**asked, max_new_tokens=7, num_beams=beams, do_sample=False)
        new = out[:, 1:] if both.encodes else out[:, asked["input_ids"].shape[1] :]
        for (one,), row in zip(ours, new.tolist(), strict=True):
            theirs = [*row, both.end]
            assert list(one.ids) == theirs[: theirs.index(both.end)]


def test_transformers_opens_what_we_write_and_back_it_is_ours(both: Both, tmp_path: Path) -> None:
    model = both.ours
    out = chiasm.export(model, tmp_path / "ours")
    again, told = type(both.theirs).from_pretrained(out, output_loading_info=True)
    assert not any(told.values())
    assert "no processor of transformers' beside the weights: the tokenizer is not" in (out / "README.md").read_text()
    for name, value in both.theirs.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    opened = replace(both, theirs=again.eval())
    for one, other in zip(opened.learns(2), both.learns(2), strict=True):
        assert torch.equal(one, other)
    second = chiasm.load(out, device="cpu")
    assert second.config == model.config
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[name]), name


PUBLISHED: dict[str, Any] = {
    "blip2/opt-2.7b": (spliced_hf.BLIP2, {"model_type": "opt", "hidden_size": 2560, "ffn_dim": 10_240}),
    "blip2/opt-6.7b": (spliced_hf.BLIP2, {"model_type": "opt", "hidden_size": 4096, "ffn_dim": 16_384}),
    "blip2/flan-t5-xl": (spliced_hf.BLIP2, {"d_model": 2048, "d_ff": 5120}),
    "instructblip/flan-t5-xl": (spliced_hf.INSTRUCTBLIP, {"d_model": 2048, "d_ff": 5120}),
    "instructblip/vicuna-7b": (
        spliced_hf.INSTRUCTBLIP,
        # ids as in the first conversions of LLaMA
        {"model_type": "llama", "vocab_size": 32_001, "architectures": ["LLaMAForCausalLM"], "pad_token_id": -1,
         "bos_token_id": 0, "eos_token_id": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_a_config_leaves_out_is_what_was_published(name: str) -> None:
    """The Q-Former of InstructBLIP has BERT's words and [DEC]; theirs has BERT's unless its config says more."""
    layout, text = PUBLISHED[name]
    if "d_model" in text:
        flan = {"num_layers": 24, "num_heads": 32, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
        text = {"model_type": "t5", **text, **flan}
    elif text["model_type"] == "opt":
        text = {**text, "num_hidden_layers": 32, "num_attention_heads": 32}
    config = {"text_config": text, "qformer_config": {"vocab_size": 30_523}}
    shapes = {"query_tokens": (1, 32, 768)}
    if layout is spliced_hf.INSTRUCTBLIP:
        shapes[spliced_hf.READER] = (30_523, 768)
    read, preset = layout.read(Found(config=config, shapes=shapes)), config_of(name)
    (sense,) = preset.senses
    assert sense.connector.eps == 1e-5, "LAVIS's, where theirs has the tower's"
    assert read == replace(preset, senses=(replace(sense, connector=replace(sense.connector, eps=1e-6)),))


def test_a_token_for_pictures_is_one_that_no_text_has() -> None:
    for name, token in {"blip2/opt-2.7b": 50_271, "instructblip/vicuna-7b": 0}.items():
        layout = spliced_hf.BLIP2 if name.startswith("blip2") else spliced_hf.INSTRUCTBLIP
        assert layout.write(config_of(name))["image_token_index"] == token


def test_what_they_have_no_class_for_is_told(tmp_path: Path) -> None:
    model = chiasm.create("blip2/tiny", device="cpu")
    model.card = replace(model.card, config=blip2.tiny(vit.tiny(vit.SOONER)))
    with pytest.raises(ValueError, match="this tower has a ConvStem"):
        chiasm.export(model, tmp_path / "out")
    with pytest.raises(ValueError, match="no class for blip2's SplicedLM"):
        chiasm.export(chiasm.create("blip2/tiny-vqa", device="cpu"), tmp_path / "out")


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "mistral"])
def test_what_fills_up_rows_need_not_be_said(name: str) -> None:
    """By default their configs have no `pad_token_id`; nobody reads padding, so it may be what ends."""
    config: dict[str, Any] = {"text_config": {"model_type": name, "pad_token_id": None, "eos_token_id": 7}}
    found = Found(config=config, shapes={"query_tokens": (1, 32, 768)})
    wording = spliced_hf.BLIP2.read(found).wording
    assert (wording.start, wording.end, wording.pad) == (None, 7, 7)
    del config["text_config"]["eos_token_id"]
    with pytest.raises(ValueError, match=f"text_config of a {name} has no eos_token_id"):
        spliced_hf.BLIP2.read(found)
