"""Language models that are shown pictures, as `transformers` has them: BLIP-2 and InstructBLIP.

These are `Blip2ForConditionalGeneration` (arXiv:2301.12597) and `InstructBlipForConditionalGeneration` (2305.06500).

    vision_model ─ post_layernorm ─ query_tokens, qformer ─ language_projection ─ language_model

What the language model is, `text_config` says, and the ids of its special tokens with it; what is left out there is as
it was published. The words that a question stands between are the papers': no config has them.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chiasm.archetypes.spliced import PICTURES, Sense, SplicedLM, seeing
from chiasm.core.dialect import Dialect, Found, Layout, Rename
from chiasm.core.types import Wording
from chiasm.layouts import languages
from chiasm.layouts.blip2_hf import (
    QFORMER,
    read_norm,
    read_qformer,
    read_vision,
    sees,
    write_qformer,
    write_vision,
)
from chiasm.layouts.configs import settings
from chiasm.layouts.wordings import INSTRUCTED_T5, OPT, T5, VICUNA
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.encdec import EncDecLM
from chiasm.nn.qformer import Words
from chiasm.nn.vit import ViT
from chiasm.weights.dialects import qformer

BRIDGE, ENCODER = f"senses.{PICTURES}.connector", f"senses.{PICTURES}.encoder"
PARTS = {"query_tokens", "language_projection.weight", "vision_model.post_layernorm.weight"}
LANGUAGE = "language_model."
READER = "qformer.embeddings.word_embeddings.weight"
TOKENS = {"start": "bos_token_id", "end": "eos_token_id", "pad": "pad_token_id"}
OURS, WORDS = "chiasm", ("before", "after", "question", "turn", "longest")  # what no class there asks its config for
FIRST_LLAMA = "LLaMAForCausalLM"  # so called in the first configs, whose ids of special tokens were wrong


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What tells the two apart."""

    model: str
    model_type: str
    parts: str  # what the types of its parts begin with
    wordings: Mapping[str, Wording]  # by what the language model is
    looks: Dialect  # of the Q-Former
    holds: Callable[[SplicedLM.Config], bool]
    fits: Callable[[Found], bool]


def bridge(cfg: SplicedLM.Config) -> tuple[ViT.Config, QFormerConnector.Config] | None:
    """The tower and the connector of what sees pictures through a Q-Former, and has no other sense."""
    match cfg.senses:
        case (Sense.Config(name="image", encoder=ViT.Config() as eyes, connector=QFormerConnector.Config() as bridge),):
            return eyes, bridge
        case _:
            return None


def untold(cfg: SplicedLM.Config) -> bool:
    """Whether it is BLIP-2, of a form that others know."""
    found = bridge(cfg)
    return found is not None and not found[1].hinted and languages.known(cfg.lm)


def told(cfg: SplicedLM.Config) -> bool:
    """Whether it is InstructBLIP."""
    found = bridge(cfg)
    return found is not None and found[1].hinted and languages.known(cfg.lm)


def _layout(kind: Kind) -> Layout:
    return Layout(
        format="hf",
        graph=SplicedLM.Config,
        holds=kind.holds,
        fits=lambda found: found.shapes.keys() >= PARTS and kind.fits(found),
        read=lambda found: _read(kind, found),
        write=lambda cfg: _write(kind, cfg),
        rules=(
            *sees(vision=ENCODER, norm=f"{BRIDGE}.norm", looks=f"{BRIDGE}.qformer", table=kind.looks),
            Rename("language_projection", f"{BRIDGE}.project"),
        ),
        more=lambda cfg: languages.rules(cfg.lm, theirs=LANGUAGE, ours="lm."),
    )


def _read(kind: Kind, found: Found) -> SplicedLM.Config:
    eyes, theirs = read_vision(found), found.config["text_config"]
    looks = read_qformer(found, image_dim=eyes.dim, text=_words(found))
    connector = QFormerConnector.Config(qformer=looks, eps=read_norm(found).eps)
    lm = languages.read(theirs, {name.removeprefix(LANGUAGE) for name in found.shapes})
    image = found.config.get("image_token_index", found.config.get("image_token_id"))
    wording = _wording(
        theirs, kind.wordings.get(str(theirs.get("model_type"))), encodes=isinstance(lm, EncDecLM.Config)
    )
    said = found.config.get(OURS, {})
    words = {name: said[name] for name in WORDS if name in said}
    return seeing(eyes, connector, lm, Wording(**{**wording, **words}, image_token=image))


def _wording(theirs: Mapping[str, Any], usual: Wording | None, *, encodes: bool) -> dict[str, Any]:
    """The tokens that the config says, or else those that are usual, and usual words."""
    said = {} if FIRST_LLAMA in (theirs.get("architectures") or ()) else theirs
    known = {ours: said[name] for ours, name in TOKENS.items() if said.get(name) is not None and said[name] >= 0}
    wording = {"start": None, **({} if usual is None else asdict(usual)), **known}
    if "end" not in wording:
        raise ValueError(
            f"text_config of a {theirs.get('model_type')} has no eos_token_id, with which a model stops: add it there"
        )
    wording.setdefault("pad", wording["end"])  # nobody reads padding
    wording.pop("image_token", None)
    return {**wording, "start": None, "close": wording["end"]} if encodes else {**wording, "close": None}


def _write(kind: Kind, cfg: SplicedLM.Config) -> Mapping[str, Any]:
    match bridge(cfg):
        case (ViT.Config() as eyes, QFormerConnector.Config() as connector):
            pass
        case _:
            raise ValueError(f"{kind.model} sees pictures through a Q-Former and has no other sense")
    wording, lm = cfg.wording, languages.write(cfg.lm)
    first = wording.close if wording.start is None else wording.start  # behind a picture without a prompt
    start = {} if first is None else {"bos_token_id": first}
    return {
        "architectures": [kind.model],
        "model_type": kind.model_type,
        "vision_config": write_vision(eyes, model_type=f"{kind.parts}_vision_model"),
        "qformer_config": write_qformer(connector.qformer, model_type=f"{kind.parts}_qformer"),
        "text_config": {**lm, **start, "eos_token_id": wording.end, "pad_token_id": wording.pad},
        "num_query_tokens": connector.qformer.queries,
        "image_token_index": _image_token(wording, lm["vocab_size"]),
        "tie_word_embeddings": lm["tie_word_embeddings"],
        OURS: {name: getattr(wording, name) for name in WORDS},
    }


def _image_token(wording: Wording, vocab: int) -> int:
    """What they have in the places of pictures: a token that no text has, such as the last of a padded vocabulary."""
    if wording.image_token is not None:
        return wording.image_token
    taken = {wording.start, wording.close, wording.end, wording.pad}
    return next(token for token in (vocab - 1, 0) if token not in taken)


def _words(found: Found) -> Words | None:
    if READER not in found.shapes:
        return None
    theirs = settings(found, "qformer_config", {**QFORMER, "vocab_size": 30_522}, {})
    return Words(vocab=theirs["vocab_size"], max_len=theirs["max_position_embeddings"])


BLIP2 = _layout(
    Kind(
        model="Blip2ForConditionalGeneration",
        model_type="blip-2",
        parts="blip_2",
        wordings={"opt": OPT, "t5": T5},
        looks=qformer.TRANSFORMERS,
        holds=untold,
        fits=lambda found: READER not in found.shapes,
    )
)
INSTRUCTBLIP = _layout(
    Kind(
        model="InstructBlipForConditionalGeneration",
        model_type="instructblip",
        parts="instructblip",
        wordings={"llama": VICUNA, "t5": INSTRUCTED_T5},
        looks=qformer.INSTRUCTBLIP,
        holds=told,
        fits=lambda found: READER in found.shapes,
    )
)
