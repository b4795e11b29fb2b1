"""Language models that only decode agree with `transformers` on random weights: states, texts, files and configs."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from chiasm.archetypes.spliced import Heard, Teller
from chiasm.core.config import from_json, to_json
from chiasm.core.types import Text
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Greedy, Limits
from chiasm.layouts import decoders as layouts
from chiasm.nn import decoders
from chiasm.nn.decoder import DecoderLM, Head
from chiasm.nn.language import Language
from chiasm.weights.folder import outline
from chiasm.weights.state import assign, state
from chiasm.weights.translate import translate, untranslate

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
VOCAB, LENGTH, END = 61, 40, 7
PLAIN: dict[str, Any] = {"vocab_size": VOCAB, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 6, "max_position_embeddings": LENGTH}
LLAMA = {**PLAIN, **SIZES, "intermediate_size": 44, "rms_norm_eps": 1e-5}
SLOWED = {
    "rope_type": "llama3", "rope_theta": 5e3, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 30,
}  # fmt: skip
MADE: dict[str, Callable[[], PreTrainedModel]] = {
    "opt": lambda: OPTForCausalLM(OPTConfig(**PLAIN, **SIZES, ffn_dim=40, word_embed_proj_dim=24)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA)),
    "llama-3": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, num_key_value_heads=2, rope_parameters=SLOWED)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**LLAMA, num_key_value_heads=3, sliding_window=4)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**LLAMA, num_key_value_heads=2, tie_word_embeddings=True)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**PLAIN, n_embd=24, n_layer=2, n_head=3, n_positions=LENGTH)),
}


@cache
def made(name: str) -> PreTrainedModel:
    """Weights far from their start, norms and biases too."""
    torch.manual_seed(0)
    model = MADE[name]().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


def read(theirs: PreTrainedModel) -> DecoderLM:
    cfg = layouts.read(theirs.config.to_dict())
    model = cfg.build()
    assign(model, translate(theirs.state_dict(), layouts.rules(cfg), source="theirs"), source="theirs")
    return model.eval()


@pytest.fixture(params=MADE)
def theirs(request: pytest.FixtureRequest) -> PreTrainedModel:
    return made(request.param)


def prompts() -> tuple[Tensor, Tensor]:
    """Padded on the left."""
    rng = torch.Generator().manual_seed(1)
    ids, lengths = torch.randint(8, VOCAB, (3, 9), generator=rng), torch.tensor([9, 5, 2])
    present = torch.arange(9)[None] >= 9 - lengths[:, None]
    return ids.masked_fill(~present, 0), present


def told(theirs: PreTrainedModel, vectors: Tensor, present: Tensor) -> Tensor:
    """Their logits; GPT-2 counts padding unless told not to."""
    places = (present.cumsum(1) - 1).clamp(min=0)
    return theirs(inputs_embeds=vectors, attention_mask=present.long(), position_ids=places).logits


@torch.inference_mode()
def test_what_is_given_and_said_is_read_as_they_do(theirs: PreTrainedModel) -> None:
    """Vectors of something else among those of words, padding on both sides."""
    ours = read(theirs)
    assert isinstance(ours, Language)
    ids, present = prompts()
    said = Text(torch.randint(8, VOCAB, (3, 5)), torch.tensor([[1] * 5, [1] * 2 + [0] * 3, [1] * 4 + [0]]).bool())
    given = ours.embed(ids)
    given[:, 7:] = torch.randn(3, 2, 24)
    torch.testing.assert_close(ours.embed(ids), theirs.get_input_embeddings()(ids))
    whole = torch.cat([given, ours.embed(said.ids)], dim=1)
    expected = told(theirs, whole, torch.cat([present, said.mask], dim=1))[:, 8:-1][said.mask]
    states = ours.predict(given, present, said)
    torch.testing.assert_close(ours.logits(states), expected, **CLOSE)
    first, _ = ours.listen(given, present)
    torch.testing.assert_close(first, told(theirs, given, present)[:, -1], **CLOSE)


@torch.inference_mode()
def test_ids_are_read_as_they_do(theirs: PreTrainedModel) -> None:
    ours, ids = read(theirs), torch.randint(8, VOCAB, (2, 11))
    said = Text(ids[:, 1:], torch.ones(2, 10, dtype=torch.bool))
    states = ours.predict(ours.embed(ids[:, :1]), torch.ones(2, 1, dtype=torch.bool), said)
    torch.testing.assert_close(ours.logits(states), theirs(input_ids=ids).logits[:, :-1].flatten(0, 1), **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("beams", [1, 3])
def test_texts_are_theirs_token_for_token(theirs: PreTrainedModel, beams: int) -> None:
    ids, present = prompts()
    ours, strategy = read(theirs), Beam(beams) if beams > 1 else Greedy()
    given = ours.embed(ids)
    teller, last = Teller(ours, Heard(*ours.listen(given, present)), END), Text(ids[:, -1:], present[:, -1:])
    texts = generate(teller, given, last, strategy, Limits(8))
    expected = theirs.generate(
        input_ids=ids, attention_mask=present.long(), num_beams=beams, do_sample=False, max_new_tokens=8,
        eos_token_id=END, pad_token_id=0,
    )[:, ids.shape[1] :]  # fmt: skip
    rows = [row.tolist() for row in expected]
    assert [list(text.ids) for (text,) in texts] == [row[: row.index(END)] if END in row else row for row in rows]


@torch.inference_mode()
def test_there_and_back_is_bit_exact_and_they_open_it(theirs: PreTrainedModel, tmp_path: Path) -> None:
    ours, cfg = read(theirs), layouts.read(theirs.config.to_dict())
    assert from_json(to_json(cfg)) == cfg
    written = untranslate(state(ours), layouts.rules(cfg), source="ours")
    known = theirs.state_dict()
    assert written.keys() == known.keys()
    assert all(torch.equal(value, known[name]) for name, value in written.items())
    safetensors.torch.save_file(
        {name: value.clone(memory_format=torch.contiguous_format) for name, value in written.items()},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    AutoConfig.for_model(**layouts.write(cfg)).save_pretrained(tmp_path)
    again, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is type(theirs)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids, present = prompts()
    vectors = ours.embed(ids)
    torch.testing.assert_close(told(again.eval(), vectors, present), told(theirs, vectors, present), **CLOSE)
    assert layouts.read(again.config.to_dict()) == cfg


def test_a_config_means_what_it_means_to_them(theirs: PreTrainedModel) -> None:
    """Also in the old form of `rope_theta`, and with nothing but the name: their defaults."""
    name = theirs.config.model_type
    cfg = layouts.read(theirs.config.to_dict())
    assert layouts.read(layouts.write(cfg)) == cfg
    defaults = AutoConfig.for_model(name).to_dict()
    usual = layouts.read({"model_type": name})
    assert usual == layouts.read(defaults)
    assert layouts.FAMILIES[name].model == type(theirs).__name__


COUNTS = {
    decoders.opt_2_7b: 2_651_596_800, decoders.opt_6_7b: 6_658_473_984, decoders.vicuna_7b: 6_738_415_616,
    decoders.vicuna_13b: 13_015_864_320, decoders.mistral_7b: 7_241_732_096, decoders.qwen2_0_5b: 494_032_768,
    decoders.gpt2: 124_439_808,
}  # fmt: skip


@pytest.mark.parametrize("size", COUNTS, ids=lambda size: size.__name__)
def test_published_sizes_have_as_many_weights(size: Callable[[], DecoderLM.Config]) -> None:
    assert count(outline(size())) == COUNTS[size]


@pytest.mark.slow
@pytest.mark.parametrize("size", COUNTS, ids=lambda size: size.__name__)
def test_and_so_have_theirs(size: Callable[[], DecoderLM.Config]) -> None:
    with torch.device("meta"):
        assert count(AutoModelForCausalLM.from_config(AutoConfig.for_model(**layouts.write(size())))) == COUNTS[size]


def count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "bloom"}, "'bloom'"),
        ({"model_type": "opt", "do_layer_norm_before": False}, "norms after its layers"),
        ({"model_type": "opt", "word_embed_proj_dim": 512, "hidden_size": 1024}, "narrower words"),
        ({"model_type": "opt", "enable_bias": False}, "enable_bias False, but chiasm's always has True"),
        ({"model_type": "opt", "activation_function": "mish"}, "'mish'"),
        ({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx True"),
        ({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}}, "turns by place as 'linear' does"),
        ({"model_type": "llama", "attention_bias": True}, "attention_bias True"),
        ({"model_type": "llama", "head_dim": 64}, "heads of 64, but chiasm's 32 share a width of 4096"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "window in some of its layers"),
    ],
)
def test_what_ours_cannot_do_is_said(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layouts.read(config)


def test_what_none_of_theirs_is_like_is_said() -> None:
    odd = replace(decoders.gpt2(), head=Head.OWN, kv_heads=3)
    with pytest.raises(ValueError, match="none of opt, gpt2, llama, mistral, qwen2 is built like"):
        layouts.write(odd)


def test_old_files_hold_more_than_is_needed() -> None:
    ours = read(made("gpt2"))
    cfg = layouts.read(made("gpt2").config.to_dict())
    old = {
        **made("gpt2").state_dict(),
        "transformer.h.0.attn.bias": torch.ones(1),
        "transformer.h.1.attn.masked_bias": torch.ones(1),
    }
    del old["lm_head.weight"]
    found = translate(old, layouts.rules(cfg), source="an old file")
    assert all(torch.equal(found[name], value) for name, value in state(ours).items())
