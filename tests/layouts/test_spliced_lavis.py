"""BLIP-2 and InstructBLIP with a language model in LAVIS's files: told from shapes, whole or over a base."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import chiasm
from chiasm.archetypes.spliced import seeing
from chiasm.core.dialect import Found
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.layouts.spliced_lavis import read_llama, read_opt, read_t5
from chiasm.layouts.wordings import INSTRUCTED_T5, OPT, T5, VICUNA
from chiasm.nn import decoders
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.encdec import EncDecLM, Gated, OwnHead
from chiasm.nn.mlp import Activation
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import Bare, NormedStem, PatchStem, ViT
from chiasm.predictor.catalogue import config_of
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

EVA = ViT.Config(dim=88, depth=1, heads=1, image=16, stem=PatchStem(patch=8), expansion=100 / 88, end=Bare())
CLIP = ViT.Config(
    dim=64, depth=1, heads=1, image=16, stem=NormedStem(patch=8), activation=Activation.QUICK_GELU, end=Bare(), eps=1e-5
)
LOOKS = QFormer.Config(image_dim=88, text=None, queries=3, dim=64, depth=2, heads=1, reads=(0,))
OPT_LM = decoders.opt(dim=32, depth=1, heads=32, vocab=40, max_len=50)
VICUNA_LM = decoders.llama(dim=128, depth=1, heads=1, hidden=44, vocab=41)
T5_LM = EncDecLM.Config(
    vocab=40,
    dim=24,
    depth=2,
    decoder_depth=1,
    heads=2,
    hidden=28,
    mlp=Gated(activation=Activation.GELU),
    head=OwnHead(),
)
TOLD = replace(LOOKS, text=Words(vocab=30, max_len=12))


def _seeing(eyes: ViT.Config, looks: QFormer.Config, lm: Any, wording: Any) -> Any:
    return seeing(eyes, QFormerConnector.Config(qformer=replace(looks, image_dim=eyes.dim), eps=1e-5), lm, wording)


GRAPHS = {
    "blip2-opt": _seeing(EVA, LOOKS, OPT_LM, OPT),
    "blip2-t5": _seeing(CLIP, LOOKS, T5_LM, T5),
    "instructblip-llm": _seeing(EVA, TOLD, VICUNA_LM, VICUNA),
    "instructblip-t5": _seeing(EVA, TOLD, T5_LM, INSTRUCTED_T5),
}
QUICK = {"blip2-t5", "instructblip-llm"}  # each system and each tower
# as facts/blip-line.md 3.3 lists them
TRAINED = {
    "query_tokens", "ln_vision.weight", "Qformer.bert.embeddings.LayerNorm.bias",
    "Qformer.bert.encoder.layer.0.crossattention.self.value.bias",
    "Qformer.bert.encoder.layer.1.output_query.LayerNorm.weight",
}  # fmt: skip
READS = {
    "Qformer.bert.embeddings.word_embeddings.weight", "Qformer.bert.encoder.layer.1.intermediate.dense.weight",
    "Qformer.bert.encoder.layer.0.output.LayerNorm.bias",
}  # fmt: skip
LANGUAGE = {
    "opt": "opt_model.model.decoder.layers.0.self_attn.out_proj.bias",
    "llm": "llm_model.model.layers.0.mlp.gate_proj.weight",
    "t5": "t5_model.decoder.block.0.layer.1.EncDecAttention.q.weight",
}  # fmt: skip


def model_of(name: str) -> Predictor:
    torch.manual_seed(0)
    config, pixels = GRAPHS[name], Pixels(size=16, mean=CLIP_MEAN, std=CLIP_STD)
    module = config.build()
    with torch.no_grad():
        for key, weight in module.named_parameters():
            if not (key.startswith("senses.image.encoder") and key.endswith("attend.k.bias")):
                weight.add_(0.1 * torch.randn_like(weight))
    card = ModelCard(system=name.partition("-")[0], preset="custom", config=config, pixels=pixels)
    return Predictor(module, card, None)


@pytest.fixture(params=[each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in GRAPHS])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_shapes_tell_everything_there_and_back(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    path = chiasm.export(model, tmp_path / "out", format="lavis") / "lavis.pth"
    held, family = torch.load(path, weights_only=True)["model"], name.partition("-")[2]
    reads = READS if name.startswith("instruct") else set[str]()
    assert held.keys() >= TRAINED | reads | {f"{family}_proj.weight", LANGUAGE[family]}
    assert bool(reads) == bool(held.keys() & READS)
    assert not [one for one in held if one.startswith("Qformer.cls")]
    again = chiasm.load(path, device="cpu")
    assert (again.system, again.config) == (model.system, model.config)
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[key]), key


@pytest.mark.slow
def test_the_same_model_in_both_forms_is_one(tmp_path: Path) -> None:
    """By way of transformers' form, whose parity has tests of its own; but for an eps, of which theirs has one."""
    model = model_of("instructblip-llm")
    other = chiasm.load(chiasm.export(model, tmp_path / "hf"), device="cpu")
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[key]), key


def test_a_file_of_what_was_trained_needs_its_base(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    whole = chiasm.export(model, tmp_path / "out", format="lavis") / "lavis.pth"
    held = torch.load(whole, weights_only=True)["model"]
    frozen = ("visual_encoder.", "opt_model.", "t5_model.", "llm_model.")
    torch.save({"model": {key: value for key, value in held.items() if not key.startswith(frozen)}}, tmp_path / "t.pth")
    with pytest.raises(ValueError, match=r"lacks (opt|t5|llm)_model: it holds what was trained.* Pass base="):
        chiasm.load(tmp_path / "t.pth")
    base = model_of(name)
    with torch.no_grad():
        for key, weight in base.module.named_parameters():
            if key.startswith("senses.image.connector."):
                weight.zero_()
    chiasm.export(base, tmp_path / "base", format="chiasm")
    again = chiasm.load(tmp_path / "t.pth", base=tmp_path / "base", device="cpu")
    assert again.config == model.config
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[key]), key


def test_what_is_no_part_of_the_base_is_told(tmp_path: Path) -> None:
    base, whole = chiasm.export(model_of("blip2-opt"), tmp_path / "base", format="chiasm"), tmp_path / "whole.pth"
    torch.save({"model": {"llm_proj.weight": torch.zeros(3, 4), "query_tokens": torch.zeros(1, 3, 64)}}, whole)
    with pytest.raises(ValueError, match="this layout does not know: llm_proj"):
        chiasm.load(whole, base=base)
    with pytest.raises(ValueError, match=r"does not know: llm_proj\.weight, query_tokens"):
        chiasm.load(whole, base=chiasm.export(chiasm.create("blip/tiny"), tmp_path / "blip", format="chiasm"))


def test_lavis_takes_flan_t5_s_activation_for_another() -> None:
    """Trap 14: the tanh approximation that Flan-T5 was trained with is not what LAVIS computes."""
    assert config_of("blip2/flan-t5-xl").lm.mlp.activation is Activation.TANH_GELU
    model = model_of("blip2-t5")
    tanh = replace(model.config, lm=replace(T5_LM, mlp=Gated()))
    other = Predictor(tanh.build(), replace(model.card, config=tanh), None)
    with pytest.raises(ValueError, match=r"cannot say that lm.mlp.activation is 'TANH_GELU'.* to be 'GELU'"):
        chiasm.export(other, Path("never"), format="lavis")


@pytest.mark.parametrize(
    ("read", "name", "width", "told"),
    [
        (read_opt, "model.decoder.embed_tokens.weight", 48, "a width of 48 makes no 32 heads, as many as OPT has"),
        (read_llama, "model.embed_tokens.weight", 48, "a width of 48 makes no heads of 128"),
        (read_t5, "encoder.block.0.layer.0.SelfAttention.q.weight", 45, "a width of 45 makes no heads of 64"),
    ],
)
def test_widths_that_no_heads_divide_are_told(read: Any, name: str, width: int, told: str) -> None:
    others = (
        "shared.weight", "model.decoder.embed_positions.weight", "model.decoder.layers.0.fc1.weight",
        "model.layers.0.mlp.gate_proj.weight", "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
    )  # fmt: skip
    with pytest.raises(ValueError, match=told):
        read(Found(config={}, shapes={**dict.fromkeys(others, (50, 40)), name: (width, width)}), "")
