"""Published language models that only decode, by size: what a config.json of theirs says."""

from dataclasses import replace

from chiasm.nn.decoder import DecoderLM, Gated, Head, Plain, Start
from chiasm.nn.grouped import Biases
from chiasm.nn.mlp import Activation
from chiasm.nn.norm import LayerNorm, RMSNorm
from chiasm.nn.position import Learned, Rotary


def opt(*, dim: int, depth: int, heads: int, vocab: int = 50_272, max_len: int = 2048) -> DecoderLM.Config:
    """OPT (arXiv:2205.01068), but for its 350M, which is built otherwise."""
    return DecoderLM.Config(
        vocab=vocab,
        dim=dim,
        depth=depth,
        heads=heads,
        kv_heads=heads,
        position=Learned(max_len=max_len, unused=2),
        norm=LayerNorm.Config(eps=1e-5),
        mlp=Plain(hidden=4 * dim, activation=Activation.RELU),
        biases=Biases.ALL,
        head=Head.TIED,
    )


def llama(
    *, dim: int, depth: int, heads: int, hidden: int, vocab: int = 32_000, max_len: int = 2048
) -> DecoderLM.Config:
    """LLaMA (arXiv:2302.13971), and Vicuna, which is LLaMA taught to chat."""
    return DecoderLM.Config(
        vocab=vocab,
        dim=dim,
        depth=depth,
        heads=heads,
        kv_heads=heads,
        position=Rotary(max_len=max_len),
        norm=RMSNorm.Config(eps=1e-6),
        mlp=Gated(hidden=hidden),
        biases=Biases.NONE,
        head=Head.OWN,
    )


def opt_2_7b() -> DecoderLM.Config:
    """OPT 2.7B, of BLIP-2."""
    return opt(dim=2560, depth=32, heads=32)


def opt_6_7b() -> DecoderLM.Config:
    """OPT 6.7B, of BLIP-2."""
    return opt(dim=4096, depth=32, heads=32)


def vicuna_7b() -> DecoderLM.Config:
    """Vicuna 7B v1.1, of InstructBLIP."""
    return llama(dim=4096, depth=32, heads=32, hidden=11_008)


def vicuna_13b() -> DecoderLM.Config:
    """Vicuna 13B v1.1, of InstructBLIP."""
    return llama(dim=5120, depth=40, heads=40, hidden=13_824)


def mistral_7b() -> DecoderLM.Config:
    """Mistral 7B v0.1 (arXiv:2310.06825)."""
    lm = llama(dim=4096, depth=32, heads=32, hidden=14_336, max_len=32_768)
    return replace(lm, kv_heads=8, norm=RMSNorm.Config(eps=1e-5), window=4096)


def qwen2_0_5b() -> DecoderLM.Config:
    """Qwen2 0.5B (arXiv:2407.10671)."""
    lm = llama(dim=896, depth=24, heads=14, hidden=4864, vocab=151_936)
    place = Rotary(max_len=131_072, theta=1_000_000.0)
    return replace(lm, kv_heads=2, position=place, biases=Biases.READING, head=Head.TIED)


def gpt2(*, dim: int = 768, depth: int = 12, heads: int = 12, vocab: int = 50_257) -> DecoderLM.Config:
    """GPT-2, the smallest: what OPT is built after."""
    lm, mlp = (
        opt(dim=dim, depth=depth, heads=heads, vocab=vocab),
        Plain(hidden=4 * dim, activation=Activation.TANH_GELU),
    )
    return replace(lm, position=Learned(max_len=1024), mlp=mlp, start=Start.SHRUNK)


def tiny(vocab: int) -> DecoderLM.Config:
    """LLaMA's kind, for a laptop."""
    return llama(dim=64, depth=2, heads=4, hidden=192, vocab=vocab, max_len=256)
