"""What `transformers` needs beside weights and pictures to be told something: the files of its processors.

processor_config.json    which processor, and how many tokens a picture is
tokenizer.json           words, what stands around a text, and a token for the places of pictures
tokenizer_config.json    what fills up a row, and on which side
qformer_tokenizer/       the last two again, for the words of a Q-Former

A tokenizer of ours need not say what stands around a text, since the model does, and it has no token where a picture
is shown, since prompts have places for that (`data/prompts.py`). There, both are the tokenizer's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import processors

from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.system import Config
from chiasm.data.text import Tokenizer
from chiasm.nn.encdec import EncDecLM
from chiasm.predictor.parts import hints_of, longest_text, vocab_of

ABOUT_WORDS = "tokenizer_config.json"
KINDS = {
    "clip": "CLIPProcessor", "blip": "BlipProcessor", "blip-2": "Blip2Processor",
    "instructblip": "InstructBlipProcessor",
}  # fmt: skip
IMAGE = "<image>"  # so called there
PLACES = "image_token_index"  # where a config says which token that is


class NoProcessorError(ValueError):
    """There are weights, but not all that a processor needs."""


@dataclass(frozen=True)
class Frame:
    """The tokens around a text, the one that ends what is said, and the one that fills up a row, on which side."""

    start: int | None
    close: int | None
    end: int
    pad: int
    side: str = "right"


@dataclass(frozen=True)
class Kept:
    """A tokenizer as it is kept there."""

    backend: Backend
    about: Mapping[str, Any]

    def save(self, path: Path) -> None:
        self.backend.save(str(path))
        path.with_name(ABOUT_WORDS).write_text(json.dumps(self.about, indent=2) + "\n")


@dataclass(frozen=True)
class Processor:
    """All of a processor but what becomes of pictures; `about` is the config of a model that goes with it."""

    words: Kept
    hints: Kept | None
    said: Mapping[str, Any]
    about: Mapping[str, Any]


def processor(config: Config, about: Mapping[str, Any], words: Tokenizer | None, hints: Tokenizer | None) -> Processor:
    """That of a model, whose config is `about` there; raises what is lacking."""
    if words is None:
        raise NoProcessorError("the tokenizer is not at hand; chiasm.load takes it as tokenizer=, and convert too")
    kind = {"processor_class": KINDS[about["model_type"]]}
    match config:
        case SplicedLM.Config():
            return _told(config, about, words, hints, kind)
        case _:
            longest = {"model_max_length": longest_text(config)}
            return Processor(_kept(words.backend, words.around, _own(words), kind | longest), None, kind, about)


def _told(
    config: SplicedLM.Config, about: Mapping[str, Any], words: Tokenizer, hints: Tokenizer | None, kind: dict[str, str]
) -> Processor:
    """Where pictures stand among words, of which a Q-Former may be told too."""
    # an encoder counts how far words are from the picture before them; a decoder goes on behind them
    side = "right" if isinstance(config.lm, EncDecLM.Config) else "left"
    wording, own = config.wording, None
    frame = Frame(wording.start, wording.close, wording.end, wording.pad, side)
    for token in (frame.start, frame.close, frame.end):
        if token is not None and words.backend.id_to_token(token) is None:
            raise NoProcessorError(f"the tokenizer has no token {token}, and the model begins or ends texts with it")
    backend, place = _with_places(words.backend, vocab_of(config), frame)
    if about["model_type"] == "instructblip":
        if hints is None and hints_of(config) != vocab_of(config):
            raise NoProcessorError("the tokenizer of the Q-Former is not at hand; qformer_tokenizer/ is its place")
        reads = words if hints is None else hints
        own = _kept(reads.backend, reads.around, _own(reads), kind)
    said = {**kind, "num_query_tokens": about["num_query_tokens"]}
    return Processor(_kept(backend, words.around, frame, kind), own, said, {**about, PLACES: place})


def _own(words: Tokenizer) -> Frame:
    return Frame(words.start, words.end, words.end, words.pad)


def _kept(
    backend: Backend, around: tuple[int | None, int | None] | None, frame: Frame, more: Mapping[str, Any]
) -> Kept:
    """With its frame around a text, whatever was `around` it before, and the names of the frame's tokens."""
    if (around or (None, None)) != (frame.start, frame.close):
        opens, closes = (
            [] if token is None else [(backend.id_to_token(token), token)] for token in (frame.start, frame.close)
        )
        backend.post_processor = processors.TemplateProcessing(
            single=[*(name for name, _ in opens), "$A", *(name for name, _ in closes)],
            special_tokens=[*dict.fromkeys([*opens, *closes])],
        )
    special: dict[int | None, str] = {
        token: one.content for token, one in backend.get_added_tokens_decoder().items() if one.special
    }
    fills = next((token for token in (frame.pad, frame.end, frame.start) if special.get(token, IMAGE) != IMAGE), None)
    named = {"bos_token": frame.start, "eos_token": frame.end, "pad_token": fills}
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False, "padding_side": frame.side, **more,
    }  # fmt: skip
    return Kept(backend, about | {name: special[token] for name, token in named.items() if token in special})


def _with_places(backend: Backend, vocab: int, frame: Frame) -> tuple[Backend, int]:
    """The tokenizer with a token for the places of pictures, and that token: one of the `vocab` words of a model."""
    if backend.token_to_id(IMAGE) is None:
        if backend.get_vocab_size() < vocab:
            backend.add_special_tokens([IMAGE])
        else:
            backend = _with_spare(backend, frame)
    place = backend.token_to_id(IMAGE)
    if place is None or place >= vocab:
        raise NoProcessorError(f"{IMAGE} is token {place} of the tokenizer, and the model has {vocab} words")
    return backend, place


def _with_spare(backend: Backend, frame: Frame) -> Backend:
    """The tokenizer whose last special token that nothing needs is called after pictures instead."""
    said = json.loads(backend.to_str())
    pieces, unknown = said["model"]["vocab"], said["model"].get("unk_token")
    needed = {frame.start, frame.close, frame.end, said["model"].get("unk_id")}
    spare = [
        one for one in said["added_tokens"]
        if one["special"] and one["id"] not in needed and one["content"] != unknown
    ]  # fmt: skip
    if not spare:
        raise NoProcessorError(f"all tokens of the tokenizer are words, and none of them could be {IMAGE}")
    # rather not the one that fills up rows, though any other could do that
    token = max(spare, key=lambda one: (one["id"] != frame.pad, one["id"]))
    if isinstance(pieces, dict):
        said["model"]["vocab"] = {IMAGE if piece == token["content"] else piece: i for piece, i in pieces.items()}
    else:
        said["model"]["vocab"] = [[IMAGE if piece == token["content"] else piece, score] for piece, score in pieces]
    token["content"] = IMAGE
    return Backend.from_str(json.dumps(said))
