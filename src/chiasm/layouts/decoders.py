"""Language models that only decode, as `transformers` describes them: a `config.json` to our config and back.

Nothing here is a layout by itself: layouts of systems that hold such a model mount `rules(cfg)` where theirs stands,
and read and write its part of their config by `read` and `write`. What a config leaves out has the default of
`transformers` 5. The ids of special tokens are not ours to say: they belong to who speaks.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chiasm.core.dialect import Dialect
from chiasm.core.errors import unknown
from chiasm.layouts.configs import ACTIVATIONS, NAMES
from chiasm.nn.decoder import DecoderLM, Gated, Head, Plain, Start
from chiasm.nn.grouped import Biases
from chiasm.nn.mlp import Activation
from chiasm.nn.norm import LayerNorm, RMSNorm
from chiasm.nn.position import Learned, Rotary, Slowing
from chiasm.weights.dialects import decoder

Settings = Mapping[str, Any]
HEADS = {True: Head.TIED, False: Head.OWN}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models of one `model_type`: its defaults, what no config of it may ask for, and how the two are told."""

    model: str  # of `transformers`
    usual: Settings
    fixed: Settings
    read: Callable[[Settings], DecoderLM.Config]
    write: Callable[[DecoderLM.Config], Settings]
    rules: Mapping[Head, Dialect]


def read(config: Settings) -> DecoderLM.Config:
    """Our config of a model whose `config.json`, or its part of one, is this."""
    name = str(config.get("model_type"))
    if name not in FAMILIES:
        raise unknown("language model that only decodes", name, FAMILIES)
    family = FAMILIES[name]
    given = {**family.usual, **config}
    for key, value in family.fixed.items():
        if given.get(key, value) != value:
            raise ValueError(f"this {name} has {key} {given[key]!r}, but chiasm's always has {value!r}")
    return family.read(given)


def write(cfg: DecoderLM.Config) -> dict[str, Any]:
    """The `config.json` of the family that is built like this."""
    name = _family(cfg)
    return {"architectures": [FAMILIES[name].model], "model_type": name, **FAMILIES[name].write(cfg)}


def rules(cfg: DecoderLM.Config) -> Dialect:
    """What the same family calls our tensors."""
    return FAMILIES[_family(cfg)].rules[cfg.head]


def _family(cfg: DecoderLM.Config) -> str:
    """The first whose config, written and read again, says everything of ours."""
    for name, family in FAMILIES.items():
        with suppress(ValueError):
            if read({"model_type": name, **family.write(cfg)}) == cfg:
                return name
    raise ValueError(f"none of {', '.join(FAMILIES)} is built like {cfg}")


def _read_opt(theirs: Settings) -> DecoderLM.Config:
    dim = theirs["hidden_size"]
    if not theirs["do_layer_norm_before"] or (theirs["word_embed_proj_dim"] or dim) != dim:
        raise ValueError("this OPT norms after its layers, or has narrower words, as OPT 350M: chiasm's does neither")
    return DecoderLM.Config(
        vocab=theirs["vocab_size"],
        dim=dim,
        depth=theirs["num_hidden_layers"],
        heads=theirs["num_attention_heads"],
        kv_heads=theirs["num_attention_heads"],
        position=Learned(max_len=theirs["max_position_embeddings"], unused=2),
        norm=LayerNorm.Config(eps=1e-5),
        mlp=Plain(hidden=theirs["ffn_dim"], activation=_activation(theirs["activation_function"])),
        biases=Biases.ALL,
        head=HEADS[theirs["tie_word_embeddings"]],
        std=theirs["init_std"],
    )


def _write_opt(cfg: DecoderLM.Config) -> Settings:
    return {
        "vocab_size": cfg.vocab, "hidden_size": cfg.dim, "num_hidden_layers": cfg.depth,
        "num_attention_heads": cfg.heads, "ffn_dim": cfg.mlp.hidden, "max_position_embeddings": cfg.position.max_len,
        "activation_function": NAMES[cfg.mlp.activation], "word_embed_proj_dim": cfg.dim, "init_std": cfg.std,
        "tie_word_embeddings": cfg.head is Head.TIED,
    }  # fmt: skip


def _read_gpt2(theirs: Settings) -> DecoderLM.Config:
    dim = theirs["n_embd"]
    return DecoderLM.Config(
        vocab=theirs["vocab_size"],
        dim=dim,
        depth=theirs["n_layer"],
        heads=theirs["n_head"],
        kv_heads=theirs["n_head"],
        position=Learned(max_len=theirs["n_positions"]),
        norm=LayerNorm.Config(eps=theirs["layer_norm_epsilon"]),
        mlp=Plain(hidden=theirs["n_inner"] or 4 * dim, activation=_activation(theirs["activation_function"])),
        biases=Biases.ALL,
        head=HEADS[theirs["tie_word_embeddings"]],
        start=Start.SHRUNK,
        std=theirs["initializer_range"],
    )


def _write_gpt2(cfg: DecoderLM.Config) -> Settings:
    return {
        "vocab_size": cfg.vocab, "n_embd": cfg.dim, "n_layer": cfg.depth, "n_head": cfg.heads,
        "n_positions": cfg.position.max_len, "n_inner": cfg.mlp.hidden, "layer_norm_epsilon": cfg.norm.eps,
        "activation_function": NAMES[cfg.mlp.activation], "initializer_range": cfg.std,
        "tie_word_embeddings": cfg.head is Head.TIED,
    }  # fmt: skip


def _read_llama(theirs: Settings) -> DecoderLM.Config:
    dim, heads = theirs["hidden_size"], theirs["num_attention_heads"]
    if (theirs.get("head_dim") or dim // heads) * heads != dim:
        raise ValueError(f"this model has heads of {theirs['head_dim']}, but chiasm's {heads} share a width of {dim}")
    return DecoderLM.Config(
        vocab=theirs["vocab_size"],
        dim=dim,
        depth=theirs["num_hidden_layers"],
        heads=heads,
        kv_heads=theirs["num_key_value_heads"] or heads,
        position=_rotary(theirs),
        norm=RMSNorm.Config(eps=theirs["rms_norm_eps"]),
        mlp=Gated(hidden=theirs["intermediate_size"], activation=_activation(theirs["hidden_act"])),
        biases=theirs["biases"],
        head=HEADS[theirs["tie_word_embeddings"]],
        window=theirs.get("sliding_window"),
        std=theirs["initializer_range"],
    )


def _write_llama(cfg: DecoderLM.Config) -> Settings:
    return {
        "vocab_size": cfg.vocab, "hidden_size": cfg.dim, "num_hidden_layers": cfg.depth,
        "num_attention_heads": cfg.heads, "num_key_value_heads": cfg.kv_heads, "intermediate_size": cfg.mlp.hidden,
        "hidden_act": NAMES[cfg.mlp.activation], "max_position_embeddings": cfg.position.max_len,
        "rms_norm_eps": cfg.norm.eps, "initializer_range": cfg.std, "tie_word_embeddings": cfg.head is Head.TIED,
        **_rope(cfg.position),
    }  # fmt: skip


def _read_qwen2(theirs: Settings) -> DecoderLM.Config:
    if theirs["use_sliding_window"] and theirs["max_window_layers"] < theirs["num_hidden_layers"]:
        raise ValueError("this qwen2 has a window in some of its layers, but chiasm's has one in all or none")
    return _read_llama({**theirs, "sliding_window": None})


def _activation(name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise unknown("activation of a language model", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def _rotary(theirs: Settings) -> Rotary:
    """As old configs tell it (`rope_theta`, `rope_scaling`), or those of transformers 5 (`rope_parameters`)."""
    told = {**(theirs.get("rope_scaling") or {}), **(theirs.get("rope_parameters") or {})}
    theta, kind = told.get("rope_theta", theirs["rope_theta"]), told.get("rope_type", told.get("type", "default"))
    place = Rotary(max_len=theirs["max_position_embeddings"], theta=float(theta))
    match kind:
        case "default":
            return place
        case "llama3":
            slowing = Slowing(
                factor=float(told["factor"]),
                slow=float(told["low_freq_factor"]),
                quick=float(told["high_freq_factor"]),
                trained=told["original_max_position_embeddings"],
            )
            return Rotary(max_len=place.max_len, theta=place.theta, slowing=slowing)
        case _:
            raise ValueError(f"this model turns by place as {kind!r} does, but chiasm's by 'default' or 'llama3'")


def _rope(position: Learned | Rotary) -> Settings:
    match position:
        case Learned():
            return {}
        case Rotary(theta=theta, slowing=slowing):
            return {"rope_theta": theta} if slowing is None else {"rope_theta": theta, "rope_scaling": _llama3(slowing)}


def _llama3(slowing: Slowing) -> Settings:
    return {
        "rope_type": "llama3", "factor": slowing.factor, "low_freq_factor": slowing.slow,
        "high_freq_factor": slowing.quick, "original_max_position_embeddings": slowing.trained,
    }  # fmt: skip


_LLAMA: Settings = {
    "vocab_size": 32_000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": None, "intermediate_size": 11_008, "hidden_act": "silu", "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6, "initializer_range": 0.02, "tie_word_embeddings": False, "rope_theta": 10_000.0,
}  # fmt: skip
_LLAMAS = {Head.OWN: decoder.LLAMA, Head.TIED: decoder.TIED_LLAMA}
FAMILIES: Mapping[str, Family] = {
    "opt": Family(
        model="OPTForCausalLM",
        usual={
            "vocab_size": 50_272, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
            "ffn_dim": 3072, "max_position_embeddings": 2048, "activation_function": "relu", "init_std": 0.02,
            "do_layer_norm_before": True, "word_embed_proj_dim": None, "tie_word_embeddings": True,
        },
        fixed={"enable_bias": True, "layer_norm_elementwise_affine": True, "_remove_final_layer_norm": False},
        read=_read_opt,
        write=_write_opt,
        rules={Head.OWN: decoder.OPT, Head.TIED: decoder.TIED_OPT},
    ),
    "gpt2": Family(
        model="GPT2LMHeadModel",
        usual={
            "vocab_size": 50_257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_inner": None,
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.02,
            "tie_word_embeddings": True,
        },
        fixed={
            "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False,
        },
        read=_read_gpt2,
        write=_write_gpt2,
        rules={Head.OWN: decoder.GPT2, Head.TIED: decoder.TIED_GPT2},
    ),
    "llama": Family(
        model="LlamaForCausalLM",
        usual=_LLAMA,
        fixed={"attention_bias": False, "mlp_bias": False},
        read=lambda theirs: _read_llama({**theirs, "biases": Biases.NONE}),
        write=_write_llama,
        rules=_LLAMAS,
    ),
    "mistral": Family(
        model="MistralForCausalLM",
        usual={
            **_LLAMA, "num_key_value_heads": 8, "intermediate_size": 14_336, "max_position_embeddings": 131_072,
            "sliding_window": 4096,
        },
        fixed={},
        read=lambda theirs: _read_llama({**theirs, "biases": Biases.NONE}),
        write=lambda cfg: {**_write_llama(cfg), "sliding_window": cfg.window},
        rules=_LLAMAS,
    ),
    "qwen2": Family(
        model="Qwen2ForCausalLM",
        usual={
            **_LLAMA, "vocab_size": 151_936, "num_key_value_heads": 32, "intermediate_size": 22_016,
            "max_position_embeddings": 32_768, "use_sliding_window": False, "max_window_layers": 28,
        },
        fixed={},
        read=lambda theirs: _read_qwen2({**theirs, "biases": Biases.READING}),
        write=_write_llama,
        rules=_LLAMAS,
    ),
}  # fmt: skip
