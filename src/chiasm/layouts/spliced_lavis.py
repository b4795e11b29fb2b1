"""Language models that are shown pictures, as LAVIS has them: BLIP-2 (arXiv:2301.12597), InstructBLIP (2305.06500).

    visual_encoder ─ ln_vision ─ query_tokens, Qformer ─ opt_proj ─ opt_model
                                                         t5_proj ── t5_model
                                                         llm_proj ─ llm_model      Vicuna

Shapes say what such a file is. What they cannot say is what was published: 32 heads in OPT, heads of 128 in LLaMA and
of 64 in T5, whose activation LAVIS takes for the exact GELU. LAVIS's own files hold only what was trained, all between
the tower and the language model (`trained`): they need a `base`, the same model as others have it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from chiasm.archetypes.spliced import Sense, SplicedLM, seeing
from chiasm.core.dialect import Dialect, Found, Layout, Rename, mount
from chiasm.core.types import Wording
from chiasm.layouts import languages
from chiasm.layouts.blip2_lavis import asks, read_qformer, read_tower, tower
from chiasm.layouts.original import heads
from chiasm.layouts.spliced_hf import ENCODER, bridge, told, untold
from chiasm.layouts.wordings import INSTRUCTED_T5, OPT, T5, VICUNA
from chiasm.nn import decoders
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.decoder import DecoderLM, Plain
from chiasm.nn.encdec import EncDecLM, Gated, OwnHead
from chiasm.nn.language import LanguageConfig
from chiasm.nn.mlp import Activation
from chiasm.weights.dialects import qformer

OPT_HEADS, LLAMA_HEAD, T5_HEAD = 32, 128, 64
EPS = 1e-5  # of the norm behind the tower
READER = "Qformer.bert.embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Family:
    """Language models that LAVIS has under one name, and how they are spoken to."""

    read: Callable[[Found, str], LanguageConfig]
    wording: Wording


def read_opt(found: Found, below: str) -> DecoderLM.Config:
    """OPT by its shapes."""
    below = f"{below}model.decoder."
    vocab, dim = found.shape(f"{below}embed_tokens.weight")
    places, _ = found.shape(f"{below}embed_positions.weight")
    hidden, _ = found.shape(f"{below}layers.0.fc1.weight")
    if dim % OPT_HEADS:
        raise ValueError(f"a width of {dim} makes no {OPT_HEADS} heads, as many as OPT has in all files of this form")
    lm = decoders.opt(dim=dim, depth=found.count(f"{below}layers."), heads=OPT_HEADS, vocab=vocab, max_len=places - 2)
    return replace(lm, mlp=Plain(hidden=hidden, activation=Activation.RELU))


def read_llama(found: Found, below: str) -> DecoderLM.Config:
    """LLaMA, and Vicuna with it, by its shapes."""
    below = f"{below}model."
    vocab, dim = found.shape(f"{below}embed_tokens.weight")
    hidden, _ = found.shape(f"{below}layers.0.mlp.gate_proj.weight")
    depth = found.count(f"{below}layers.")
    return decoders.llama(dim=dim, depth=depth, heads=heads(dim, LLAMA_HEAD), hidden=hidden, vocab=vocab)


def read_t5(found: Found, below: str) -> EncDecLM.Config:
    """Flan-T5 by its shapes."""
    vocab, dim = found.shape(f"{below}shared.weight")
    width, _ = found.shape(f"{below}encoder.block.0.layer.0.SelfAttention.q.weight")
    hidden, _ = found.shape(f"{below}encoder.block.0.layer.1.DenseReluDense.wi_0.weight")
    return EncDecLM.Config(
        vocab=vocab,
        dim=dim,
        depth=found.count(f"{below}encoder.block."),
        decoder_depth=found.count(f"{below}decoder.block."),
        heads=heads(width, T5_HEAD),
        head_dim=T5_HEAD,
        hidden=hidden,
        mlp=Gated(activation=Activation.GELU),
        head=OwnHead(),
    )


def trained(sense: Sense.Config, lm: LanguageConfig, *, theirs: str = "", normed: str = "ln_vision") -> Dialect:
    """What a file of LAVIS's own calls the tensors of a connector, where their names begin with `theirs`."""
    ours = f"senses.{sense.name}.connector."
    words = qformer.LAVIS_TEXT if sense.connector.hinted else ()
    return (
        *asks(norm=f"{ours}norm", looks=f"{ours}qformer", theirs=theirs, normed=normed),
        *mount(words, theirs=f"{theirs}Qformer.bert.", ours=f"{ours}qformer."),
        Rename(f"{theirs}{_name(lm)}_proj", f"{ours}project"),
    )


def _layout(families: Mapping[str, Family], holds: Callable[[SplicedLM.Config], bool], *, words: int) -> Layout:
    """For language models of these families; their Q-Formers have so many tables of words."""
    return Layout(
        format="lavis",
        graph=SplicedLM.Config,
        holds=lambda cfg: holds(cfg) and _name(cfg.lm) in families,
        fits=lambda found: (
            "query_tokens" in found.shapes
            and (READER in found.shapes) == words
            and any(f"{name}_proj.weight" in found.shapes for name in families)
        ),
        read=lambda found: _read(families, found),
        write=lambda _: {},
        rules=(),
        more=_rules,
    )


def _rules(cfg: SplicedLM.Config) -> Dialect:
    found = bridge(cfg)
    return (
        *(() if found is None else tower(found[0], ours=ENCODER)),
        *trained(cfg.senses[0], cfg.lm),
        *languages.rules(cfg.lm, theirs=f"{_name(cfg.lm)}_model.", ours="lm."),
    )


def _name(lm: LanguageConfig) -> str:
    match lm:
        case EncDecLM.Config():
            return "t5"
        case DecoderLM.Config(mlp=Plain()):
            return "opt"
        case _:
            return "llm"


def _read(families: Mapping[str, Family], found: Found) -> SplicedLM.Config:
    name = next(name for name in families if f"{name}_proj.weight" in found.shapes)
    if not any(one.startswith(f"{name}_model.") for one in found.shapes):
        _lacks(found, f"{name}_model")
    if (eyes := read_tower(found)) is None:
        _lacks(found, "visual_encoder")
    family = families[name]
    looks = QFormerConnector.Config(qformer=read_qformer(found, image_dim=eyes.dim), eps=EPS)
    return seeing(eyes, looks, family.read(found, f"{name}_model."), family.wording)


def _lacks(found: Found, part: str) -> NoReturn:
    raise ValueError(
        f"a file of LAVIS's with {len(found.shapes)} tensors lacks {part}: it holds what was trained, and LAVIS "
        "fetches what was frozen elsewhere. Pass base= (--base), the same model as transformers has it, or load it in "
        'LAVIS and save all of it, torch.save({"model": model.state_dict()}, "whole.pth")'
    )


BLIP2 = _layout({"opt": Family(read_opt, OPT), "t5": Family(read_t5, T5)}, untold, words=0)
INSTRUCTBLIP = _layout({"llm": Family(read_llama, VICUNA), "t5": Family(read_t5, INSTRUCTED_T5)}, told, words=1)
