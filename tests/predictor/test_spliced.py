"""Folders of BLIP-2 and InstructBLIP with their tokenizers: captions, answers and talks as `transformers` has them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import vocabularies
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    PreTrainedTokenizerFast,
)

import chiasm
from chiasm import AbilityError, Clip
from chiasm.cli.main import main
from chiasm.data.text import Tokenizer
from chiasm.predictor.verbs import Predictor

VISION = {
    "hidden_size": 22, "intermediate_size": 35, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
QFORMER = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3,
    "max_position_embeddings": 40, "encoder_hidden_size": 22,
}  # fmt: skip
VOCAB, QUERIES = 384, 3  # more rows than words
OPT = {
    "model_type": "opt", "vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 6,
    "ffn_dim": 40, "word_embed_proj_dim": 24, "bos_token_id": 2, "eos_token_id": 50, "pad_token_id": 1,
}  # fmt: skip
LLAMA = {  # its config names another token than the tokenizer, and the tokenizer is right
    "model_type": "llama", "vocab_size": VOCAB, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 6,
    "intermediate_size": 44, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
T5 = {
    "model_type": "t5", "vocab_size": 124, "d_model": 20, "d_kv": 6, "d_ff": 28, "num_layers": 1, "num_heads": 3,
    "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
BLIP2 = (Blip2Config, Blip2ForConditionalGeneration)
INSTRUCTBLIP = (InstructBlipConfig, InstructBlipForConditionalGeneration)
MADE: dict[str, Any] = {
    "blip2-opt": (*BLIP2, OPT, vocabularies.opt),
    "instructblip-llama": (*INSTRUCTBLIP, LLAMA, vocabularies.llama),
    "instructblip-t5": (*INSTRUCTBLIP, T5, vocabularies.t5),
}
QUICK = {"instructblip-llama"}  # has two tokenizers, and a config that is wrong
PROMPTS = ["a photo of", "", "Question: what is the colour of the circle? Answer:"]


@dataclass(frozen=True)
class Pair:
    """Theirs, a folder of it, and ours of that."""

    theirs: Any
    folder: Path
    ours: Predictor

    @property
    def encodes(self) -> bool:
        return bool(self.theirs.language_model.config.is_encoder_decoder)

    def _given(self, prompt: str, picture: Any) -> tuple[PreTrainedTokenizerFast, dict[str, Any]]:
        """One prompt by their tokenizers."""
        words = PreTrainedTokenizerFast(tokenizer_file=str(self.folder / "tokenizer.json"))
        hints = {}
        if isinstance(self.theirs, InstructBlipForConditionalGeneration):
            bert = PreTrainedTokenizerFast(tokenizer_file=str(self.folder / "qformer_tokenizer" / "tokenizer.json"))
            hints = {"qformer_input_ids": torch.tensor([bert(prompt)["input_ids"]])}
        asked = torch.tensor([[self.theirs.config.image_token_index] * QUERIES + words(prompt)["input_ids"]])
        return words, {"pixel_values": self.ours.processor([picture]), "input_ids": asked, **hints}

    def says(self, prompt: str, picture: Any, **how: Any) -> str:
        """What theirs says to one prompt."""
        words, given = self._given(prompt, picture)
        (said,) = self.theirs.generate(**given, do_sample=False, **how)
        new = said if self.encodes else said[given["input_ids"].shape[1] :]
        return words.decode(new, skip_special_tokens=True).strip()

    @torch.no_grad()
    def scores(self, prompt: str, said: str, picture: Any) -> float:
        """How likely they find an answer, its end included."""
        words, given = self._given(prompt, picture)
        end = self.theirs.config.text_config.eos_token_id
        asked = given.pop("input_ids")
        if self.encodes:
            label = [*words(said, add_special_tokens=False)["input_ids"], end]
            ids, labels = asked, torch.tensor([label])
        else:
            whole = words(f"{prompt} {said}")["input_ids"]
            label = [*whole[len(words(prompt)["input_ids"]) :], end]
            ids = torch.cat([asked, torch.tensor([label])], dim=1)
            labels = torch.cat([torch.full_like(asked, -100), torch.tensor([label])], dim=1)
        return -self.theirs(**given, input_ids=ids, labels=labels).loss.item() * len(label)


@cache
def made(name: str) -> Any:
    torch.manual_seed(3)
    kind, model, text, _ = MADE[name]
    about = {"vision_config": VISION, "qformer_config": QFORMER, "text_config": text}
    theirs = model(kind(**about, num_query_tokens=QUERIES, image_token_index=text["vocab_size"] - 1)).eval()
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return theirs


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MADE],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder, theirs = tmp_path_factory.mktemp("theirs"), made(request.param)
    theirs.save_pretrained(folder)
    MADE[request.param][3](folder)
    if request.param.startswith("instruct"):
        vocabularies.bert(folder / "qformer_tokenizer")
    return Pair(theirs, folder, chiasm.load(folder, device="cpu"))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (20, 20 + i, 3), dtype=np.uint8) for i in range(3)]


def test_captions_are_those_of_transformers(pair: Pair, pictures: list[Any]) -> None:
    for strategy, beams in (("greedy", 1), ("beam", 3)):
        said = pair.ours.caption(pictures, PROMPTS, strategy=strategy, num_beams=beams, max_new_tokens=6)
        theirs = [
            pair.says(prompt, picture, max_new_tokens=6, num_beams=beams)
            for prompt, picture in zip(PROMPTS, pictures, strict=True)
        ]
        assert [one.text for one in said] == theirs
        assert len({*theirs}) > 1


@torch.no_grad()
def test_features_are_what_the_queries_found(tmp_path: Path, pictures: list[Any]) -> None:
    theirs = made("blip2-opt")
    theirs.save_pretrained(tmp_path)
    ours = chiasm.load(tmp_path, device="cpu")
    found = ours.features(images=pictures, batch_size=2)
    tower = theirs.vision_model(ours.processor(pictures)).last_hidden_state
    queries = theirs.query_tokens.expand(3, -1, -1)
    expected = theirs.qformer(query_embeds=queries, encoder_hidden_states=tower).last_hidden_state
    assert found.keys() == {"images", "queries"}
    torch.testing.assert_close(found["queries"], expected, rtol=0.0, atol=1e-5)
    frames = ours.features(images=Clip(pictures, count=3))["queries"]
    torch.testing.assert_close(frames, expected.flatten(0, 1)[None], rtol=0.0, atol=1e-5)
    with pytest.raises(AbilityError, match="features of texts"):
        ours.features(images=pictures[0], texts="a")


@torch.no_grad()
def test_features_of_an_instruction_are_what_it_made_the_queries_find(pair: Pair, pictures: list[Any]) -> None:
    if pair.ours.system == "blip2":
        pytest.skip("reads no instruction")
    found = pair.ours.features(images=pictures, texts=PROMPTS, batch_size=2)
    assert found.keys() == {"images", "fusion"}
    assert pair.ours.features(images=pictures).keys() == {"images"}
    for fusion, prompt, picture in zip(found["fusion"], PROMPTS, pictures, strict=True):
        _, given = pair._given(prompt, picture)
        seen = pair.theirs.get_image_features(given["pixel_values"], given["qformer_input_ids"])
        torch.testing.assert_close(fusion, seen.qformer_outputs[0][0, :QUERIES], rtol=0.0, atol=1e-5)
    film = pair.ours.features(images=Clip(pictures, count=3), texts=PROMPTS[0])["fusion"]
    each = pair.ours.features(images=pictures, texts=PROMPTS[0])["fusion"]
    torch.testing.assert_close(film, each.flatten(0, 1)[None], rtol=0.0, atol=1e-5)


def test_answers_and_talks_are_in_the_words_of_the_family(pair: Pair, pictures: list[Any]) -> None:
    asked = "Question: {} Answer:" if pair.ours.system == "blip2" else "Question: {} Short answer:"
    question = "what is the colour?"
    free = pair.ours.answer(pictures[0], question, max_new_tokens=5)
    assert free.text == pair.says(asked.format(question), pictures[0], max_new_tokens=5)
    beam = {"num_beams": 4, "length_penalty": -1.0, "max_new_tokens": 5}
    searched = pair.ours.answer(pictures[0], question, strategy="beam", **beam)
    assert searched.text == pair.says(asked.format(question), pictures[0], **beam)
    turn = "Question: {} Answer:" if pair.ours.system == "blip2" else "{}"
    content = [{"type": "image", "image": pictures[1]}, {"type": "text", "text": question}]
    told = pair.ours.chat([{"role": "user", "content": content}], max_new_tokens=5)
    assert told.text == pair.says(turn.format(question), pictures[1], max_new_tokens=5)
    chosen = pair.ours.answer(pictures[0], question, ["blue", "a red star", "no"]).candidates
    likely = {name: pair.scores(asked.format(question), name, pictures[0]) for name in chosen.items}
    assert chosen.scores == pytest.approx([likely[name] for name in chosen.items], abs=1e-3)
    assert list(chosen.items) == sorted(likely, key=likely.__getitem__, reverse=True)


def test_what_is_written_reads_with_its_tokenizers(pair: Pair, pictures: list[Any], tmp_path: Path) -> None:
    said = pair.ours.caption(pictures, PROMPTS, max_new_tokens=6)
    for form in ("hf", "chiasm"):
        again = chiasm.load(chiasm.export(pair.ours, tmp_path / form, format=form), device="cpu")
        assert again.caption(pictures, PROMPTS, max_new_tokens=6) == said
        assert (again.hints is None) == (pair.ours.system == "blip2")
    kept = chiasm.load(pair.folder, device="cpu", tokenizer=tmp_path / "hf")
    assert kept.caption(pictures[0], "a photo of", max_new_tokens=6).text == said[0].text


@pytest.mark.slow
def test_halves_speak_too(pair: Pair, pictures: list[Any]) -> None:
    half = chiasm.load(pair.folder, device="cpu", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert len(half.caption(pictures, PROMPTS, strategy="beam", max_new_tokens=6)) == 3
    asked = pictures[0], "what is it?", ["blue", "a red star", "no"]
    whole = dict(zip(*_ranked(pair.ours.answer(*asked)), strict=True))
    items, scores = _ranked(half.answer(*asked))
    assert scores == pytest.approx([whole[item] for item in items], rel=0.05)


def _ranked(answer: Any) -> tuple[Any, Any]:
    return answer.candidates.items, answer.candidates.scores


def test_what_transformers_tokenizer_puts_first_is_what_the_model_reads_first(tmp_path: Path) -> None:
    """Trap 16: Vicuna's begins with </s>; a config may still say <s>."""
    made("instructblip-llama").save_pretrained(tmp_path)
    vocabularies.llama(tmp_path)
    assert chiasm.load(tmp_path, device="cpu").config.wording.start == 2
    (tmp_path / "tokenizer.json").unlink()
    bare = chiasm.load(tmp_path, device="cpu")
    assert bare.config.wording.start == 1
    with pytest.raises(ValueError, match=r"brings no tokenizer: give it one .* has 30523 words and the model 384"):
        bare.caption(np.zeros((9, 9, 3), dtype=np.uint8))


def test_q_formers_need_words_of_their_own(tmp_path: Path) -> None:
    made("instructblip-llama").save_pretrained(tmp_path)
    vocabularies.llama(tmp_path)
    with pytest.raises(ValueError, match=r"has 30523 words and the model 40"):
        chiasm.load(tmp_path, device="cpu").caption(np.zeros((9, 9, 3), dtype=np.uint8))


def test_a_published_size_takes_its_own_tokenizer_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the tokenizer has 320 words, and the language model knows 256"):
        chiasm.create("blip2/tiny", tokenizer=vocabularies.opt(tmp_path))
    with pytest.raises(ValueError, match="ALBEF and BLIP need one of BERT's"):
        chiasm.create("blip/tiny", tokenizer=Tokenizer.load(tmp_path))


@pytest.mark.slow
def test_commands_take_such_a_folder(
    pair: Pair, pictures: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "one.png"
    Image.fromarray(pictures[0]).save(picture)
    assert main(["caption", str(pair.folder), str(picture), "--prompt", "a photo of", "--max-new-tokens", "6"]) == 0
    assert capsys.readouterr().out.strip() == pair.says("a photo of", pictures[0], max_new_tokens=6)
    assert main(["convert", str(pair.folder), str(tmp_path / "out"), "--format", "chiasm"]) == 0
