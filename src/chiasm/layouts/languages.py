"""Language models of both kinds, inside of the configs and files of who shows them pictures."""

from collections.abc import Collection, Mapping
from typing import Any

from chiasm.core.dialect import Dialect, mount
from chiasm.layouts import decoders, t5
from chiasm.nn.decoder import DecoderLM
from chiasm.nn.encdec import EncDecLM
from chiasm.nn.language import LanguageConfig


def read(theirs: Mapping[str, Any], tensors: Collection[str]) -> DecoderLM.Config | EncDecLM.Config:
    """Our config of theirs, which stands beside these tensors."""
    return t5.read(theirs, tensors) if theirs.get("model_type") == "t5" else decoders.read(theirs)


def write(cfg: LanguageConfig) -> dict[str, Any]:
    """Theirs of ours."""
    match cfg:
        case EncDecLM.Config():
            return t5.write(cfg)
        case DecoderLM.Config():
            return decoders.write(cfg)
        case _:
            raise _foreign(cfg)


def rules(cfg: LanguageConfig, *, theirs: str, ours: str) -> Dialect:
    """What its tensors are called below `theirs`."""
    match cfg:
        case EncDecLM.Config():
            return mount(t5.rules(cfg), theirs=theirs, ours=ours)
        case DecoderLM.Config():
            return mount(decoders.rules(cfg), theirs=theirs, ours=ours)
        case _:
            raise _foreign(cfg)


def known(cfg: LanguageConfig) -> bool:
    """Whether it is one of our own, so that it can be described."""
    return isinstance(cfg, (DecoderLM.Config, EncDecLM.Config))


def _foreign(cfg: LanguageConfig) -> ValueError:
    return ValueError(f"only language models of chiasm's own can be written as others have them, and no {type(cfg)}")
