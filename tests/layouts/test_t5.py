"""T5's config and weights: read from transformers, written for transformers, and back to the bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from chiasm.core.types import Text
from chiasm.layouts import t5
from chiasm.nn import encdec
from chiasm.nn.encdec import EncDecLM, Gated, OwnHead, Plain, SharedHead, UnscaledHead
from chiasm.nn.mlp import Activation
from chiasm.weights.dialects.t5 import FIRST, FLAN
from chiasm.weights.state import assign, state
from chiasm.weights.translate import translate, untranslate

SIZES = {
    "vocab_size": 31,
    "d_model": 20,
    "d_kv": 6,
    "d_ff": 28,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 3,
}
FLAN_CONFIG = {  # as it was published, before transformers 5
    "d_ff": 5120, "d_kv": 64, "d_model": 2048, "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-06, "num_decoder_layers": 24, "num_heads": 32,
    "num_layers": 24, "relative_attention_num_buckets": 32, "tie_word_embeddings": False, "vocab_size": 32_128,
}  # fmt: skip


HEAD = {"lm_head.weight"}


def begun(**config: Any) -> T5ForConditionalGeneration:
    """As transformers 5 begins one: its head is the word vectors, scaled or not."""
    torch.manual_seed(0)
    return T5ForConditionalGeneration(T5Config(**SIZES, decoder_start_token_id=0, **config)).eval()


def published(**config: Any) -> T5ForConditionalGeneration:
    """A head of its own where the config says so, as in published weights."""
    theirs = begun(**config)
    if not theirs.config.scale_decoder_outputs:
        theirs.lm_head.weight = nn.Parameter(torch.randn(31, 20))
    return theirs


def test_published_configs_are_ours() -> None:
    assert t5.read(FLAN_CONFIG, HEAD) == encdec.flan_t5_xl()
    assert t5.read({"feed_forward_proj": "relu"}, ()) == encdec.t5_small()
    assert t5.read({**FLAN_CONFIG, "dense_act_fn": "gelu"}, HEAD).mlp == Gated(activation=Activation.GELU)


@pytest.mark.parametrize("cfg", [encdec.t5_small(), encdec.flan_t5_xl(), encdec.flan_t5_xxl(), encdec.tiny(99)])
def test_configs_come_back(cfg: EncDecLM.Config) -> None:
    for activation in (Activation.RELU, Activation.GELU, Activation.TANH_GELU, Activation.SILU):
        for mlp in (Plain(activation=activation), Gated(activation=activation)):
            for head, tensors in ((SharedHead(), HEAD), (UnscaledHead(), ()), (OwnHead(), HEAD)):
                ours = replace(cfg, mlp=mlp, head=head)
                assert t5.read(t5.write(ours), tensors) == ours
                theirs = T5Config(**t5.write(ours))
                assert t5.read(theirs.to_dict(), tensors) == ours, "what transformers makes of it"
                assert theirs.is_gated_act == isinstance(mlp, Gated)
                assert theirs.scale_decoder_outputs == isinstance(head, SharedHead)


@pytest.mark.parametrize(
    ("make", "config", "head"),
    [
        (begun, {"feed_forward_proj": "relu"}, SharedHead()),
        (begun, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, UnscaledHead()),
        (
            published,
            {"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu", "tie_word_embeddings": False},
            OwnHead(),
        ),
    ],
)
@torch.inference_mode()
def test_folders_there_and_back(make: Any, config: dict[str, Any], head: Any, tmp_path: Path) -> None:
    """Read what transformers saved; write what it opens, with the same bytes and the same words."""
    theirs = make(**config)
    theirs.save_pretrained(tmp_path / "theirs")
    values = load_file(tmp_path / "theirs/model.safetensors")
    cfg = t5.read(json.loads((tmp_path / "theirs/config.json").read_text()), values.keys())
    assert cfg.head == head
    ours = cfg.build().eval()
    assign(ours, translate(values, t5.rules(cfg), source="theirs"), source="theirs")

    written = untranslate(state(ours), t5.rules(cfg), source="ours")
    torch.testing.assert_close(written["lm_head.weight"], theirs.lm_head.weight)
    assert {name: written[name] for name in values}.keys() == values.keys()
    assert all(torch.equal(written[name], value) for name, value in values.items())
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/config.json").write_text(json.dumps(t5.write(cfg)))
    save_file(
        {name: value.clone() for name, value in written.items()}, tmp_path / "ours/model.safetensors", {"format": "pt"}
    )
    opened, told = T5ForConditionalGeneration.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(told.values())
    ids, real = torch.randint(2, 31, (2, 6)), torch.ones(2, 6, dtype=torch.bool)
    logits = ours.logits(ours.predict(ours.embed(ids), real, Text(ids, real)))
    torch.testing.assert_close(logits, opened(input_ids=ids, labels=ids).logits.flatten(0, 1), rtol=1e-4, atol=1e-5)


def test_older_files_hold_words_again() -> None:
    theirs = published(feed_forward_proj="relu")
    cfg = t5.read(theirs.config.to_dict(), HEAD)
    assert t5.rules(cfg) == FIRST
    values = theirs.state_dict()  # three copies of the words, and the head
    ours = translate(values, FIRST, source="theirs")
    assert ours.keys() == state(cfg.build()).keys()
    again = untranslate(ours, FIRST, source="ours")
    assert again.keys() == values.keys() - {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    with pytest.raises(ValueError, match=r"should equal shared\.weight"):
        translate(values | {"lm_head.weight": torch.zeros(31, 20)}, FIRST, source="theirs")
    with pytest.raises(ValueError, match="wi_0"):
        translate(published(feed_forward_proj="gated-gelu").state_dict(), FIRST, source="theirs")


def test_flan_is_the_other_form() -> None:
    assert t5.rules(encdec.flan_t5_xl()) == FLAN


def test_what_ours_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="activation 'swish'"):
        t5.read({"feed_forward_proj": "gated-swish"}, ())
