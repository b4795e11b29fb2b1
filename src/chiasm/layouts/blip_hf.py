"""BLIP as `transformers` has it: one class a head, `config.json` beside the weights.

What a config leaves out has the default of `transformers` 5 (BlipTextConfig, BlipVisionConfig),
which is not always BLIP's own: eight heads for twelve, 1e-5 for 1e-6, no smoothing for 0.1.
"""

from collections.abc import Callable, Mapping
from typing import Any

from chiasm.archetypes.answer import Answerer
from chiasm.archetypes.med import Captioner, Retriever
from chiasm.core.dialect import Found, Layout, Own, Rename, Rule, mount
from chiasm.core.types import Markers
from chiasm.layouts.configs import NAMES, activation, expansion, known, settings, vision
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.dialects import bert, vit

TEXT: Mapping[str, Any] = {
    "vocab_size": 30_524, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 8,
    "intermediate_size": 3072, "max_position_embeddings": 512, "encoder_hidden_size": 768, "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "hidden_act": "gelu", "bos_token_id": 30_522,
    "sep_token_id": 102, "pad_token_id": 0, "label_smoothing": 0.0,
    "cls_token_id": 101, "mask_token_id": 103,  # not theirs to say: BERT's
}  # fmt: skip
VISION: Mapping[str, Any] = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "image_size": 384, "patch_size": 16, "layer_norm_eps": 1e-5, "attention_dropout": 0.0, "hidden_act": "gelu",
}  # fmt: skip
FIXED: Mapping[str, Any] = {"attention_dropout": 0.0}  # there is nothing else in ours
EYES, MATCHES = "vision_model.embeddings.class_embedding", "itm_head.weight"
READER, WRITER = "text_encoder.embeddings.word_embeddings.weight", "text_decoder.cls.predictions.bias"


def _has(*present: str) -> Callable[[Found], bool]:
    """Whether a BLIP has these heads, of all that there are."""
    absent = {READER, WRITER, MATCHES} - {*present}
    return lambda found: {EYES, *present} <= found.shapes.keys() and not absent & found.shapes.keys()


def _vision(found: Found) -> ViT.Config:
    theirs = settings(found, "vision_config", VISION, FIXED)
    return vision(theirs, PatchStem(patch=theirs["patch_size"]))


def _text(found: Found) -> Bert.Config:
    theirs = settings(found, "text_config", TEXT, FIXED)
    return Bert.Config(
        vocab=theirs["vocab_size"],
        image_dim=theirs["encoder_hidden_size"],
        dim=theirs["hidden_size"],
        depth=theirs["num_hidden_layers"],
        heads=theirs["num_attention_heads"],
        reads=tuple(range(theirs["num_hidden_layers"])),
        max_len=theirs["max_position_embeddings"],
        expansion=expansion(theirs),
        activation=activation(theirs, "text_config"),
        dropout=float(theirs["hidden_dropout_prob"]),
        eps=theirs["layer_norm_eps"],
    )


def _markers(found: Found) -> Markers:
    theirs = settings(found, "text_config", TEXT, FIXED)
    dec = theirs["bos_token_id"]
    return Markers(
        pad=theirs["pad_token_id"], cls=theirs["cls_token_id"], sep=theirs["sep_token_id"],
        mask=theirs["mask_token_id"], dec=dec, enc=theirs.get("enc_token_id", dec + 1),
    )  # fmt: skip


def _smoothing(found: Found) -> float:
    return float(settings(found, "text_config", TEXT, FIXED)["label_smoothing"])


def _read_captioner(found: Found) -> Captioner.Config:
    return Captioner.Config(
        vision=_vision(found), text=_text(found), markers=_markers(found), smoothing=_smoothing(found)
    )


def _read_retriever(found: Found) -> Retriever.Config:
    embed, _ = found.shape("vision_proj.weight")
    return Retriever.Config(
        vision=_vision(found), text=_text(found), markers=_markers(found), embed=embed, alignment=None
    )


def _read_answerer(found: Found) -> Answerer.Config:
    text = _text(found)
    return Answerer.Config(
        vision=_vision(found), question=text, answer=text, markers=_markers(found), smoothing=_smoothing(found)
    )


def _write(
    architecture: str, eyes: ViT.Config, text: Bert.Config, markers: Markers, *, smoothing: float = 0.0
) -> dict[str, Any]:
    if not isinstance(eyes.stem, PatchStem):
        raise ValueError(f"transformers' BLIP cuts pictures into patches and has no {type(eyes.stem).__name__}")
    if text.reads != tuple(range(text.depth)):
        raise ValueError(f"transformers' BLIP reads the picture in all {text.depth} layers, ours in {text.reads}")
    tokens = {
        "bos_token_id": markers.dec, "eos_token_id": markers.sep, "sep_token_id": markers.sep,
        "pad_token_id": markers.pad, "cls_token_id": markers.cls, "mask_token_id": markers.mask,
        "enc_token_id": markers.enc,
    }  # fmt: skip
    return {
        "architectures": [architecture],
        "model_type": "blip",
        "text_config": {
            "model_type": "blip_text_model", "vocab_size": text.vocab, "hidden_size": text.dim,
            "num_hidden_layers": text.depth, "num_attention_heads": text.heads,
            "intermediate_size": round(text.expansion * text.dim), "hidden_act": NAMES[text.activation],
            "max_position_embeddings": text.max_len, "encoder_hidden_size": text.image_dim,
            "layer_norm_eps": text.eps, "hidden_dropout_prob": text.dropout,
            "attention_probs_dropout_prob": text.dropout, "is_decoder": True, "label_smoothing": smoothing,
            **known(tokens, text.vocab),
        },
        "vision_config": {
            "model_type": "blip_vision_model", "hidden_size": eyes.dim, "num_hidden_layers": eyes.depth,
            "num_attention_heads": eyes.heads, "intermediate_size": round(eyes.expansion * eyes.dim),
            "image_size": eyes.image, "patch_size": eyes.stem.patch, "layer_norm_eps": eyes.eps,
            "hidden_act": NAMES[eyes.activation],
        },
    }  # fmt: skip


def _write_captioner(cfg: Captioner.Config) -> Mapping[str, Any]:
    name = "BlipForConditionalGeneration"
    return _write(name, cfg.vision, cfg.text, cfg.markers, smoothing=cfg.smoothing)


def _write_retriever(cfg: Retriever.Config) -> Mapping[str, Any]:
    about = _write("BlipForImageTextRetrieval", cfg.vision, cfg.text, cfg.markers)
    return {**about, "image_text_hidden_size": cfg.embed}


def _write_answerer(cfg: Answerer.Config) -> Mapping[str, Any]:
    if cfg.answer != cfg.question:
        raise ValueError(
            "transformers' BLIP describes the text networks of question and answer once, but ours differ: "
            f"{cfg.question} and {cfg.answer}"
        )
    return _write("BlipForQuestionAnswering", cfg.vision, cfg.question, cfg.markers, smoothing=cfg.smoothing)


def _sees(ours: str) -> tuple[Rule, ...]:
    return mount(vit.TRANSFORMERS, theirs="vision_model.", ours=ours)


LAYOUTS = (
    Layout(
        format="hf",
        graph=Captioner.Config,
        fits=_has(WRITER),
        read=_read_captioner,
        write=_write_captioner,
        rules=(*_sees("vision."), *bert.writer("decoder.", "word_head.")),
    ),
    Layout(
        format="hf",
        graph=Retriever.Config,
        fits=_has(READER, MATCHES),
        read=_read_retriever,
        write=_write_retriever,
        rules=(
            *_sees("towers.vision."),
            *mount(bert.BERT, theirs="text_encoder.", ours="towers.encoder."),
            *bert.two_heads("towers."),
            Rename("itm_head", "match_head"),
            Own("temperature", 0.07),  # where training began: their files hold none
            Own("alignment"),
        ),
    ),
    Layout(
        format="hf",
        graph=Answerer.Config,
        fits=_has(READER, WRITER),
        read=_read_answerer,
        write=_write_answerer,
        rules=(
            *_sees("chain.vision."),
            *mount(bert.BERT, theirs="text_encoder.", ours="chain.question."),
            *bert.writer("chain.decoder.", "chain.word_head."),
        ),
    ),
)
