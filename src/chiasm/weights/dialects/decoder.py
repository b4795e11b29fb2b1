"""Language models that only decode, as `transformers` names them: LLaMA, whom Mistral and Qwen2 follow, OPT, GPT-2.

GPT-2's maps stand on the right of what they map, ours on the left; and its queries, keys and values are one map.
"""

from chiasm.core.dialect import Dialect, Drop, Rename, Split, Tied, mount
from chiasm.weights.dialects.clip import turned

_HEAD: Dialect = (Rename("lm_head", "head"),)


def _tied(word: str) -> Dialect:
    """A word head that is the word embedding; some files hold it twice."""
    return (Tied("lm_head.weight", word),)


_LLAMA: Dialect = (
    Rename("model.embed_tokens", "word"),
    *mount(
        (
            *(Rename(f"self_attn.{part}_proj", f"attend.{part}") for part in ("q", "k", "v")),
            Rename("self_attn.o_proj", "attend.out"),
            *(Rename(f"mlp.{part}_proj", f"mlp.{part}") for part in ("gate", "up", "down")),
            Rename("input_layernorm", "attend_norm"),
            Rename("post_attention_layernorm", "mlp_norm"),
            Drop("self_attn.rotary_emb.inv_freq", "computed from theta; in old files only"),
        ),
        theirs="model.layers.{i}.",
        ours="layers.{i}.",
    ),
    Rename("model.norm", "norm"),
)
LLAMA: Dialect = (*_LLAMA, *_HEAD)
TIED_LLAMA: Dialect = (*_LLAMA, *_tied("model.embed_tokens.weight"))

_OPT: Dialect = mount(
    (
        Rename("embed_tokens", "word"),
        Rename("embed_positions", "position.table"),
        *(Rename(f"layers.{{i}}.self_attn.{part}_proj", f"layers.{{i}}.attend.{part}") for part in ("q", "k", "v")),
        Rename("layers.{i}.self_attn.out_proj", "layers.{i}.attend.out"),
        Rename("layers.{i}.self_attn_layer_norm", "layers.{i}.attend_norm"),
        Rename("layers.{i}.fc1", "layers.{i}.mlp.up"),
        Rename("layers.{i}.fc2", "layers.{i}.mlp.down"),
        Rename("layers.{i}.final_layer_norm", "layers.{i}.mlp_norm"),
        Rename("final_layer_norm", "norm"),
    ),
    theirs="model.decoder.",
)
OPT: Dialect = (*_OPT, *_HEAD)
TIED_OPT: Dialect = (*_OPT, *_tied("model.decoder.embed_tokens.weight"))


def _mapped(theirs: str, ours: str) -> Dialect:
    return (turned(f"{theirs}.weight", f"{ours}.weight"), Rename(f"{theirs}.bias", f"{ours}.bias"))


_READ = tuple(f"attend.{part}" for part in ("q", "k", "v"))
_GPT2: Dialect = (
    Rename("transformer.wte", "word"),
    Rename("transformer.wpe", "position.table"),
    *mount(
        (
            Rename("ln_1", "attend_norm"),
            Split(
                "attn.c_attn.weight",
                tuple(f"{part}.weight" for part in _READ),
                lambda value: value.T,
                lambda value: value.T,
            ),
            Split("attn.c_attn.bias", tuple(f"{part}.bias" for part in _READ)),
            *_mapped("attn.c_proj", "attend.out"),
            Rename("ln_2", "mlp_norm"),
            *_mapped("mlp.c_fc", "mlp.up"),
            *_mapped("mlp.c_proj", "mlp.down"),
            Drop("attn.bias", "who sees whom; in old files only"),
            Drop("attn.masked_bias", "what hides; in old files only"),
        ),
        theirs="transformer.h.{i}.",
        ours="layers.{i}.",
    ),
    Rename("transformer.ln_f", "norm"),
)
GPT2: Dialect = (*_GPT2, *_HEAD)
TIED_GPT2: Dialect = (*_GPT2, *_tied("transformer.wte.weight"))
