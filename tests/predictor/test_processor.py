"""Processors of `transformers`: ours are opened and read the same, theirs are loaded and read the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import vocabularies
from tokenizers import Tokenizer as Backend
from tokenizers import models
from torch import Tensor, nn
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
    CLIPConfig,
    CLIPModel,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

import chiasm
from chiasm.archetypes.spliced import SplicedLM
from chiasm.data.text import Tokenizer
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Greedy, Limits
from chiasm.predictor.catalogue import config_of, systems
from chiasm.predictor.processor import IMAGE, NoProcessorError, processor
from chiasm.predictor.telling import told
from chiasm.predictor.verbs import Predictor

VISION = {
    "hidden_size": 22, "intermediate_size": 35, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 24,
    "patch_size": 8, "layer_norm_eps": 1e-2,
}  # fmt: skip
QFORMER = {
    "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 3,
    "max_position_embeddings": 40, "encoder_hidden_size": 22, "layer_norm_eps": 1e-2,
}  # fmt: skip
SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 6, "max_position_embeddings": 60}
OPT = {"model_type": "opt", **SIZES, "ffn_dim": 40, "word_embed_proj_dim": 24}
LLAMA = {"model_type": "llama", **SIZES, "num_key_value_heads": 2, "intermediate_size": 44}
T5 = {
    "model_type": "t5", "d_model": 20, "d_kv": 6, "d_ff": 28, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 3,
    "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
}  # fmt: skip
QUERIES, NEW = 5, 8
STATISTICS = {"image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.5, 0.75]}
PROMPTS = ["a photo of", "two naïve cats"]  # as long for a Q-Former, and not for language models


@dataclass(frozen=True)
class Kind:
    """One of the families, and which tokens its language model has for what."""

    text: dict[str, Any]
    words: Callable[[Path], Path]
    start: int | None
    end: int
    pad: str
    told: bool = False

    @property
    def encodes(self) -> bool:
        return self.text is T5


KINDS = {
    "blip2-opt": Kind(OPT, vocabularies.opt, 2, 9, "<pad>"),
    "blip2-t5": Kind(T5, vocabularies.t5, 1, 1, "<pad>"),
    "instructblip-llama": Kind(LLAMA, vocabularies.llama, 2, 2, "[PAD]", told=True),
    "instructblip-t5": Kind(T5, vocabularies.t5, 1, 1, "<pad>", told=True),
}


def shaken(model: Any) -> Any:
    """Weights far from where they begin."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.eval()


def processor_of(kind: Kind, folder: Path) -> Any:
    """A processor as one makes it there."""
    eyes = BlipImageProcessorPil(size={"height": 24, "width": 24}, **STATISTICS)
    side = "right" if kind.encodes else "left"
    words = PreTrainedTokenizerFast(tokenizer_file=str(kind.words(folder)), pad_token=kind.pad, padding_side=side)
    if not kind.told:
        return Blip2Processor(eyes, words, num_query_tokens=QUERIES)
    hints = PreTrainedTokenizerFast(tokenizer_file=str(vocabularies.bert(folder / "hints")), pad_token="[PAD]")
    return InstructBlipProcessor(eyes, words, hints, num_query_tokens=QUERIES)


def model_of(kind: Kind, *, words: int, hints: int, place: int, pad: int) -> Any:
    tokens = {"vocab_size": words, "bos_token_id": kind.start, "eos_token_id": kind.end, "pad_token_id": pad}
    family = (
        (InstructBlipConfig, InstructBlipForConditionalGeneration)
        if kind.told
        else (Blip2Config, Blip2ForConditionalGeneration)
    )
    about = {"vision_config": VISION, "qformer_config": {**QFORMER, "vocab_size": hints}}
    torch.manual_seed(0)
    model = family[1](
        family[0](**about, text_config=kind.text | tokens, num_query_tokens=QUERIES, image_token_index=place)
    )
    if kind.encodes:
        model.language_model.lm_head.weight = nn.Parameter(torch.randn(words, 20))
    return shaken(model)


@dataclass(frozen=True)
class Pair:
    """What `transformers` saved, and what became of it here."""

    kind: Kind
    processor: Any
    model: Any
    ours: Predictor


QUICK = {"blip2-opt", "blip2-t5", "instructblip-llama"}


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in KINDS],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    kind, folder = KINDS[request.param], tmp_path_factory.mktemp("theirs")
    processor = processor_of(kind, folder / "words")
    words = processor.tokenizer
    hints = len(processor.qformer_tokenizer) if kind.told else 9
    place = words.convert_tokens_to_ids(IMAGE)
    model = model_of(kind, words=len(words) + 2, hints=hints, place=place, pad=words.pad_token_id)
    processor.save_pretrained(folder / "saved")
    model.save_pretrained(folder / "saved")
    assert not (folder / "saved" / "preprocessor_config.json").exists(), "pictures are in processor_config.json"
    ours = chiasm.load(folder / "saved", device="cpu", preprocess="exact")
    return Pair(kind, processor, model, ours)


def pictures() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (50, 71, 3), dtype=np.uint8) for _ in range(2)]


@torch.no_grad()
def says(model: Any, asked: dict[str, Tensor], kind: Kind) -> list[list[int]]:
    """New tokens of theirs, before the end."""
    ids = model.generate(**asked, max_new_tokens=NEW, do_sample=False)
    new = ids[:, 1:] if kind.encodes else ids[:, asked["input_ids"].shape[1] if "input_ids" in asked else QUERIES + 1 :]
    return [before(row, kind.end) for row in new.tolist()]


@torch.no_grad()
def said(ours: Predictor, prompts: Sequence[str], kind: Kind) -> list[list[int]]:
    """New tokens of ours."""
    assert isinstance(ours.module, SplicedLM)
    ((_, seen),) = ours._reader.see(pictures(), 2)
    begun = told(ours._reader, ours.module, seen, prompts, 1)
    rows = generate(begun.model, begun.states, begun.opening, Greedy(), Limits(NEW))
    return [before(list(one.ids), kind.end) for (one,) in rows]


def before(row: list[int], end: int) -> list[int]:
    return row[: row.index(end)] if end in row else row


def asked_of(processor: Any, text: list[str]) -> dict[str, Tensor]:
    return dict(processor(images=pictures(), text=text, padding=True, return_tensors="pt"))


def test_what_transformers_saved_sees_and_reads_the_same_here(pair: Pair) -> None:
    asked = asked_of(pair.processor, PROMPTS)
    torch.testing.assert_close(pair.ours.processor(pictures()), asked["pixel_values"], rtol=1e-5, atol=1e-6)
    assert isinstance(pair.ours.module, SplicedLM)
    prompter = pair.ours._reader.prompter(pair.ours.module)
    ours = [prompter.tokens(prompter.turn(["image"], text)) for text in PROMPTS]
    rows = zip(asked["input_ids"][:, QUERIES:], asked["attention_mask"][:, QUERIES:], strict=True)
    assert [[-1, *ids[mask.bool()].tolist()] for ids, mask in rows] == ours
    if pair.kind.told:
        assert torch.equal(pair.ours._reader.hinting.encode(PROMPTS).ids, asked["qformer_input_ids"])
    assert said(pair.ours, PROMPTS, pair.kind) == says(pair.model, asked, pair.kind)


def test_transformers_opens_what_we_export_and_says_the_same(pair: Pair, tmp_path: Path) -> None:
    out = chiasm.export(pair.ours, tmp_path / "out")
    processor, model = AutoProcessor.from_pretrained(out), AutoModelForImageTextToText.from_pretrained(out).eval()
    assert (type(processor), type(model)) == (type(pair.processor), type(pair.model))
    asked, theirs = asked_of(processor, PROMPTS), asked_of(pair.processor, PROMPTS)
    assert asked.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(asked[name], value, rtol=1e-6, atol=1e-6, msg=name)
    assert says(model, asked, pair.kind) == said(pair.ours, PROMPTS, pair.kind)
    nothing = dict(processor(images=pictures(), return_tensors="pt"))
    if not pair.kind.told:  # which always is told something
        assert says(model, nothing, pair.kind) == said(pair.ours, ["", ""], pair.kind)
    assert isinstance(pair.ours.module, SplicedLM)
    question = pair.ours.module.wording.question.format("what is it?")
    ids = says(model, asked_of(processor, [question, question]), pair.kind)
    answers = [one.text for one in pair.ours.answer(pictures(), "what is it?", max_new_tokens=NEW)]
    assert [processor.decode(row, skip_special_tokens=True).strip() for row in ids] == answers


WORDS = Tokenizer.builtin()  # its file says nothing of what stands around a text
MARKERS = {
    "bos_token_id": WORDS.markers.dec, "sep_token_id": WORDS.markers.sep, "eos_token_id": WORDS.markers.sep,
    "pad_token_id": WORDS.markers.pad, "cls_token_id": WORDS.markers.cls, "mask_token_id": WORDS.markers.mask,
}  # fmt: skip
SQUARE = VISION | {"hidden_size": 24, "intermediate_size": 96}  # as wide as the words, or their VQA cannot read
BERT = {
    "vocab_size": WORDS.vocab, "hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 1,
    "num_attention_heads": 2, "encoder_hidden_size": 24, "max_position_embeddings": 40, **MARKERS,
}  # fmt: skip


def exported(model: Any, folder: Path) -> tuple[Predictor, Any, Any]:
    """Ours of theirs, and theirs again of what we export."""
    shaken(model).save_pretrained(folder / "theirs")
    WORDS.save(folder / "theirs" / "tokenizer.json")
    ours = chiasm.load(folder / "theirs", device="cpu", preprocess="exact", itm_token="cls")
    out = chiasm.export(ours, folder / "out")
    return ours, AutoProcessor.from_pretrained(out), type(model).from_pretrained(out).eval()


def blip() -> BlipConfig:
    return BlipConfig(text_config=BERT, vision_config=SQUARE, image_text_hidden_size=10)


@torch.no_grad()
def test_blip_says_the_same_there(tmp_path: Path) -> None:
    ours, processor, model = exported(BlipForConditionalGeneration(blip()), tmp_path / "captions")
    ids = model.generate(**asked_of(processor, ["a photo of a"] * 2), max_new_tokens=NEW, do_sample=False)
    said = ours.caption(pictures(), "a photo of a", max_new_tokens=NEW)
    whole = [processor.decode(row, skip_special_tokens=True) for row in ids]
    assert whole == [f"a photo of a {one.text}".strip() for one in said]
    ours, processor, model = exported(BlipForQuestionAnswering(blip()), tmp_path / "answers")
    questions = ["what is it?", "how many circles?"]  # as long: theirs generates from padding too
    ids = model.generate(**asked_of(processor, questions), max_new_tokens=NEW, do_sample=False)
    answers = ours.answer(pictures(), questions, max_new_tokens=NEW)
    assert [processor.decode(row, skip_special_tokens=True) for row in ids] == [one.text for one in answers]


@torch.no_grad()
def test_blip_blip2_and_clip_compare_the_same_there(tmp_path: Path) -> None:
    texts, near = ["a red circle", "a small blue square at the top"], {"rtol": 1e-4, "atol": 1e-4}
    tower = {"vocab_size": WORDS.vocab, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip = CLIPConfig(
        text_config={**tower, "intermediate_size": 96, "max_position_embeddings": 20, "eos_token_id": WORDS.end},
        vision_config=VISION,
        projection_dim=11,
    )
    ours, processor, model = exported(CLIPModel(clip), tmp_path / "clip")
    cosines = ours.match(pictures(), texts).itc_cosine
    asked = asked_of(processor, texts)
    torch.testing.assert_close(model(**asked).logits_per_image.diag() / model.logit_scale.exp(), cosines, **near)
    assert len(processor(text="a " * 99, truncation=True)["input_ids"]) == 20, "what is too long can be cut off"
    blip2 = Blip2Config(
        vision_config=VISION,
        qformer_config={**QFORMER, "vocab_size": WORDS.vocab, "use_qformer_text_input": True, **MARKERS},
        num_query_tokens=QUERIES,
        image_text_hidden_size=7,
    )
    for name, theirs in (("blip", BlipForImageTextRetrieval(blip())), ("blip2", Blip2ForImageTextRetrieval(blip2))):
        ours, processor, model = exported(theirs, tmp_path / name)
        asked, fits = asked_of(processor, texts), ours.match(pictures(), texts)
        if name == "blip":
            torch.testing.assert_close(model(**asked).itm_score, fits.itm_logits, **near)
        else:
            matched = model(**asked, use_image_text_matching_head=True).logits_per_image
            torch.testing.assert_close(matched, fits.itm_logits, **near)
            torch.testing.assert_close(model(**asked).logits_per_image.diag(), fits.itc_cosine, **near)


def described(name: str, words: int, **tokens: Any) -> tuple[SplicedLM.Config, Mapping[str, Any]]:
    """A published config for that many words and these tokens, and what transformers' config says of it."""
    config, layouts = config_of(name), systems()[name.partition("/")[0]].layouts
    assert isinstance(config, SplicedLM.Config)
    config = replace(config, wording=replace(config.wording, **tokens), lm=replace(config.lm, vocab=words))
    (layout,) = (one for one in layouts if one.format == "hf" and one.graph is type(config) and one.holds(config))
    return config, layout.write(config)


SPARED = {"blip2/opt-2.7b": "<unk>", "blip2/flan-t5-xl": "<pad>", "instructblip/vicuna-7b": "<s>"}


@pytest.mark.parametrize("room", [0, 1])
def test_pictures_stand_where_no_word_does(room: int, tmp_path: Path) -> None:
    """On a token behind all others, or where a model knows no more, on a special one that was for nothing."""
    hints = Tokenizer.load(vocabularies.bert(tmp_path / "hints"))
    for name, kind in zip(SPARED, (KINDS["blip2-opt"], KINDS["blip2-t5"], KINDS["instructblip-llama"]), strict=True):
        words = Tokenizer.load(kind.words(tmp_path / kind.text["model_type"]))
        config, about = described(name, words.vocab + room, end=kind.end)
        found = processor(config, about, words, hints)
        kept, place = found.words.backend, found.about["image_token_index"]
        assert place == (words.vocab if room else words.backend.token_to_id(SPARED[name]))
        assert kept.encode("<image><image>a", add_special_tokens=False).ids[:2] == [place, place]
        for text in vocabularies.TEXTS[:5]:
            assert kept.encode(text).ids == words.backend.encode(text).ids
        assert kept.token_to_id(found.words.about["pad_token"]) not in {place, None}
        again = processor(config, about, Tokenizer(kept), hints)
        assert again.about["image_token_index"] == place
        assert again.words.backend.to_str() == kept.to_str()


def test_what_stands_around_a_prompt_is_the_models_not_the_tokenizers(tmp_path: Path) -> None:
    words = Tokenizer.load(vocabularies.opt(tmp_path))
    assert words.around == (2, None)
    for start, close in ((None, None), (0, None), (0, 2)):
        config, about = described("blip2/opt-2.7b", words.vocab + 1, end=9, start=start, close=close)
        kept = processor(config, about, words, None).words.backend
        (plain,) = words.ids(["a star"])
        around = [[] if token is None else [token] for token in (start, close)]
        assert kept.encode("a star").ids == [*around[0], *plain, *around[1]]


def test_a_q_former_may_share_the_words_of_the_language_model() -> None:
    config = config_of("instructblip/tiny")
    assert isinstance(config, SplicedLM.Config)
    config = config.fitted(WORDS.vocab, WORDS.markers)
    found = processor(
        config, {"model_type": "instructblip", "num_query_tokens": 4, "image_token_index": 0}, WORDS, None
    )
    (inside,), text = WORDS.ids(["a red circle"]), "a red circle"
    assert found.hints is not None
    assert found.hints.backend.encode(text).ids == [WORDS.start, *inside, WORDS.end]
    around = [[] if token is None else [token] for token in (config.wording.start, config.wording.close)]
    assert found.words.backend.encode(text).ids == [*around[0], *inside, *around[1]]
    assert found.about["image_token_index"] == WORDS.markers.enc, "which a language model has no use for"


def test_what_a_processor_lacks_is_told(tmp_path: Path) -> None:
    words, bare = (
        Tokenizer.load(vocabularies.opt(tmp_path)),
        Backend(models.WordLevel({"a": 0, "</s>": 1, "?": 2}, "?")),
    )
    bare.add_special_tokens(["</s>", "?"])
    seeing = words.backend
    seeing.add_special_tokens([IMAGE])
    for name, tokenizer, size, reason in (
        ("blip2/opt-2.7b", None, 9, "the tokenizer is not at hand; chiasm.load takes it as tokenizer="),
        ("blip2/opt-2.7b", Tokenizer(Backend(models.WordLevel({"a": 0}, "a"))), 3, "the tokenizer has no token 1, and"),
        ("instructblip/vicuna-7b", words, 400, "the tokenizer of the Q-Former is not at hand"),
        ("blip2/opt-2.7b", Tokenizer(bare), 3, "all tokens of the tokenizer are words, and none of them could be"),
        ("blip2/opt-2.7b", Tokenizer(seeing), 320, "<image> is token 320 of the tokenizer, and the model has 320"),
    ):
        config, about = described(name, size, start=1, end=1)
        with pytest.raises(NoProcessorError, match=reason):
            processor(config, about, tokenizer, None)
