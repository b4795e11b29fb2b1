"""T5 as `transformers` describes it: `T5ForConditionalGeneration`, by itself or inside of another model's config.

Whether the head is the word vectors once more is said by `tie_word_embeddings` in configs of before transformers 5.
Those that it writes call everything tied, and `scale_decoder_outputs` says whether states are made smaller first, as
in the first T5. Where they are not, a head in the file is one of its own, and without one it is the word vectors.
"""

from collections.abc import Collection, Mapping
from typing import Any

from chiasm.core.dialect import Dialect
from chiasm.layouts.configs import ACTIVATIONS, NAMES
from chiasm.nn.encdec import EncDecLM, Gated, OwnHead, Plain, SharedHead, UnscaledHead
from chiasm.weights.dialects.t5 import GATED, OWN_HEAD, PLAIN, SHARED_HEAD, t5

USUAL: Mapping[str, Any] = {
    "vocab_size": 32_128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8,
    "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6, "feed_forward_proj": "relu", "tie_word_embeddings": True, "decoder_start_token_id": 0,
}  # fmt: skip
HEAD = "lm_head.weight"
TANH = "gated-gelu"  # which means "gelu_new" there, unless `dense_act_fn` says otherwise, as LAVIS does


def read(theirs: Mapping[str, Any], tensors: Collection[str]) -> EncDecLM.Config:
    """Our config of theirs, what it leaves out being the default of `transformers`, beside these tensors."""
    given = {**USUAL, **{name: value for name, value in theirs.items() if value is not None}}
    return EncDecLM.Config(
        vocab=given["vocab_size"],
        dim=given["d_model"],
        depth=given["num_layers"],
        decoder_depth=given.get("num_decoder_layers", given["num_layers"]),
        heads=given["num_heads"],
        head_dim=given["d_kv"],
        hidden=given["d_ff"],
        mlp=_mlp(given),
        head=_head(given, tensors),
        buckets=given["relative_attention_num_buckets"],
        reach=given["relative_attention_max_distance"],
        start=given["decoder_start_token_id"],
        dropout=float(given["dropout_rate"]),
        eps=given["layer_norm_epsilon"],
    )


def write(cfg: EncDecLM.Config) -> dict[str, Any]:
    """Their config of ours, for any version of `transformers`."""
    name, tied = NAMES[cfg.mlp.activation], not isinstance(cfg.head, OwnHead)
    gated = isinstance(cfg.mlp, Gated)
    return {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "is_encoder_decoder": True,
        "vocab_size": cfg.vocab, "d_model": cfg.dim, "d_kv": cfg.head_dim, "d_ff": cfg.hidden,
        "num_layers": cfg.depth, "num_decoder_layers": cfg.decoder_depth, "num_heads": cfg.heads,
        "relative_attention_num_buckets": cfg.buckets, "relative_attention_max_distance": cfg.reach,
        "feed_forward_proj": f"gated-{name}" if gated else name, "dense_act_fn": name, "is_gated_act": gated,
        "tie_word_embeddings": tied, "scale_decoder_outputs": isinstance(cfg.head, SharedHead),
        "decoder_start_token_id": cfg.start,
        "pad_token_id": cfg.start, "eos_token_id": 1, "dropout_rate": cfg.dropout, "layer_norm_epsilon": cfg.eps,
    }  # fmt: skip


def rules(cfg: EncDecLM.Config) -> Dialect:
    """What their tensors are called here."""
    return t5(
        GATED if isinstance(cfg.mlp, Gated) else PLAIN, OWN_HEAD if isinstance(cfg.head, OwnHead) else SHARED_HEAD
    )


def _head(given: Mapping[str, Any], tensors: Collection[str]) -> SharedHead | UnscaledHead | OwnHead:
    if given.get("scale_decoder_outputs", given["tie_word_embeddings"]):
        return SharedHead()
    return UnscaledHead() if given["tie_word_embeddings"] and HEAD not in tensors else OwnHead()


def _mlp(given: Mapping[str, Any]) -> Plain | Gated:
    kind = given["feed_forward_proj"]
    name = given.get("dense_act_fn") or ("gelu_new" if kind == TANH else kind.removeprefix("gated-"))
    if name not in ACTIVATIONS:
        raise ValueError(f"this T5 has the activation {name!r}, but chiasm's knows {', '.join(ACTIVATIONS)}")
    return (Gated if kind.startswith("gated-") else Plain)(activation=ACTIVATIONS[name])
