"""BLIP-2 as `transformers` has it (arXiv:2301.12597): `Blip2ForImageTextRetrieval`, which compares and matches.

What a config leaves out has the default of `transformers` 5 (Blip2VisionConfig, Blip2QFormerConfig). One eps stands
there for the tower and for the norm behind it, and no temperature, since nothing is trained. Of a `QueryAligner`, the
first stage whole, the head that writes stays behind too.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.core.dialect import Dialect, Found, Layout, Own, Rename, mount
from chiasm.core.types import Markers
from chiasm.layouts.configs import NAMES, activation, expansion, known, settings, vision
from chiasm.nn.norm import LayerNorm
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import Bare, PatchStem, ViT
from chiasm.weights.dialects import qformer, vit

VISION: Mapping[str, Any] = {
    "hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 14, "layer_norm_eps": 1e-6, "hidden_act": "gelu",
}  # fmt: skip
QFORMER: Mapping[str, Any] = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "max_position_embeddings": 512, "layer_norm_eps": 1e-12,
    "cross_attention_frequency": 2,
    "pad_token_id": 0, "cls_token_id": 101, "sep_token_id": 102, "mask_token_id": 103,  # the last three are BERT's
}  # fmt: skip
FIXED: Mapping[str, Any] = {"attention_dropout": 0.0, "qkv_bias": True}  # there is nothing else in ours
PARTS = {"query_tokens", "embeddings.word_embeddings.weight", "vision_projection.weight", "itm_head.weight"}


def read_vision(found: Found) -> ViT.Config:
    """The tower, whose norm belongs to its reader."""
    theirs = settings(found, "vision_config", VISION, FIXED)
    return replace(vision(theirs, PatchStem(patch=theirs["patch_size"])), end=Bare())


def read_norm(found: Found) -> LayerNorm.Config:
    """The norm behind the tower."""
    return LayerNorm.Config(eps=settings(found, "vision_config", VISION, FIXED)["layer_norm_eps"])


def read_qformer(found: Found, *, image_dim: int, text: Words | None) -> QFormer.Config:
    """The Q-Former over states of that width, with words or without."""
    theirs = settings(found, "qformer_config", QFORMER, {})
    return QFormer.Config(
        image_dim=image_dim,
        text=text,
        queries=found.shape("query_tokens")[1],
        dim=theirs["hidden_size"],
        depth=theirs["num_hidden_layers"],
        heads=theirs["num_attention_heads"],
        reads=tuple(range(0, theirs["num_hidden_layers"], theirs["cross_attention_frequency"])),
        expansion=expansion(theirs),
        activation=activation(theirs, "qformer_config"),
        dropout=float(theirs["hidden_dropout_prob"]),
        eps=theirs["layer_norm_eps"],
    )


def write_vision(eyes: ViT.Config, *, model_type: str = "blip_2_vision_model") -> Mapping[str, Any]:
    """The same as their config says it."""
    if not isinstance(eyes.stem, PatchStem) or not isinstance(eyes.end, Bare):
        raise ValueError(
            "transformers' BLIP-2 cuts pictures into patches and leaves the last norm to the Q-Former, but this tower "
            f"has a {type(eyes.stem).__name__} and ends {type(eyes.end).__name__}"
        )
    return {
        "model_type": model_type, "hidden_size": eyes.dim,
        "intermediate_size": round(eyes.expansion * eyes.dim), "num_hidden_layers": eyes.depth,
        "num_attention_heads": eyes.heads, "image_size": eyes.image, "patch_size": eyes.stem.patch,
        "layer_norm_eps": eyes.eps, "hidden_act": NAMES[eyes.activation],
    }  # fmt: skip


def write_qformer(cfg: QFormer.Config, *, model_type: str = "blip_2_qformer") -> Mapping[str, Any]:
    """The same as their config says it."""
    every = cfg.reads[1] if len(cfg.reads) > 1 else cfg.depth
    if cfg.reads != tuple(range(0, cfg.depth, every)):
        raise ValueError(f"transformers' Q-Former reads the picture in every so many layers, ours in {cfg.reads}")
    words = {} if cfg.text is None else {"vocab_size": cfg.text.vocab, "max_position_embeddings": cfg.text.max_len}
    return {
        "model_type": model_type, "hidden_size": cfg.dim, "num_hidden_layers": cfg.depth,
        "num_attention_heads": cfg.heads, "intermediate_size": round(cfg.expansion * cfg.dim),
        "hidden_act": NAMES[cfg.activation], "hidden_dropout_prob": cfg.dropout,
        "attention_probs_dropout_prob": cfg.dropout, "layer_norm_eps": cfg.eps, "cross_attention_frequency": every,
        "encoder_hidden_size": cfg.image_dim, **words,
    }  # fmt: skip


def sees(*, vision: str, norm: str, looks: str, table: Dialect = qformer.TRANSFORMERS) -> Dialect:
    """The tower, its norm, and the Q-Former, which `looks` by what its `table` has of it: what each is called here."""
    return (
        *mount(vit.BARE_TRANSFORMERS, theirs="vision_model.", ours=f"{vision}."),
        Rename("vision_model.post_layernorm", norm),
        Rename("query_tokens", f"{looks}.queries"),
        *mount(table, theirs="qformer.", ours=f"{looks}."),
    )


def _markers(found: Found, vocab: int) -> Markers:
    theirs = settings(found, "qformer_config", QFORMER, {})
    cls = theirs["cls_token_id"]
    return Markers(
        pad=theirs["pad_token_id"], cls=cls, sep=theirs["sep_token_id"], mask=theirs["mask_token_id"],
        dec=theirs.get("bos_token_id", vocab - 1), enc=theirs.get("enc_token_id", cls),
    )  # fmt: skip


def _read(found: Found) -> QueryRetriever.Config:
    eyes, embed = read_vision(found), found.shape("vision_projection.weight")[0]
    vocab, _ = found.shape("embeddings.word_embeddings.weight")
    words = Words(vocab=vocab, max_len=found.shape("embeddings.position_embeddings.weight")[0])
    return QueryRetriever.Config(
        vision=eyes,
        qformer=read_qformer(found, image_dim=eyes.dim, text=words),
        markers=_markers(found, vocab),
        norm=read_norm(found),
        embed=embed,
    )


def _write(cfg: QueryRetriever.Config) -> Mapping[str, Any]:
    markers, looks = cfg.markers, write_qformer(cfg.qformer)
    tokens = {
        "pad_token_id": markers.pad, "cls_token_id": markers.cls, "sep_token_id": markers.sep,
        "mask_token_id": markers.mask, "bos_token_id": markers.dec, "enc_token_id": markers.enc,
    }  # fmt: skip
    return {
        "architectures": ["Blip2ForImageTextRetrieval"],
        "model_type": "blip-2",
        "vision_config": write_vision(cfg.vision),
        "qformer_config": {**looks, "use_qformer_text_input": True, **known(tokens, looks["vocab_size"])},
        "num_query_tokens": cfg.qformer.queries,
        "image_text_hidden_size": cfg.embed,
    }


def _rules(ours: str) -> Dialect:
    looks = f"{ours}qformer"
    return (
        *sees(vision=f"{ours}vision", norm=f"{ours}vision_norm", looks=looks),
        *mount(qformer.TRANSFORMERS_TEXT, theirs="qformer.", ours=f"{looks}."),
        *mount(qformer.TRANSFORMERS_EMBED, theirs="embeddings.", ours=f"{looks}."),
        Rename("vision_projection", f"{ours}image_head"),
        Rename("text_projection", f"{ours}text_head"),
        Rename("itm_head", f"{ours}match_head"),
        Own(f"{ours}temperature", 0.07),  # where training began: their files hold none
    )


def _fits(found: Found) -> bool:
    return found.shapes.keys() >= PARTS


LAYOUTS = (
    Layout(format="hf", graph=QueryRetriever.Config, fits=_fits, read=_read, write=_write, rules=_rules("")),
    # comes second, so that what is written of it is read as what is left of it
    Layout(
        format="hf",
        graph=QueryAligner.Config,
        fits=_fits,
        read=lambda found: QueryAligner.Config(retriever=_read(found)),
        write=lambda cfg: _write(cfg.retriever),
        rules=(*_rules("retriever."), Own("word_head")),
    ),
)
