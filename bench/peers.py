"""BLIP-base with random weights, as transformers has it and as we do: the same numbers in both."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

import chiasm
from chiasm.archetypes.med import Captioner, Retriever
from chiasm.layouts.blip_lavis import MARKERS

START, END, ENC = MARKERS.dec, MARKERS.sep, MARKERS.enc


def captioners(folder: Path, *, dtype: torch.dtype) -> tuple[Any, Captioner]:
    """Theirs, written to `folder`, and ours, read from there; neither ever says the end, so that all texts are long."""
    theirs = _varied(BlipForConditionalGeneration(_config()))
    with torch.no_grad():
        theirs.text_decoder.cls.predictions.bias[END] = -1e4
    theirs.save_pretrained(folder)
    ours = chiasm.load(folder, device="cpu", dtype=dtype).module
    return theirs.to(dtype), cast(Captioner, ours)


def retrievers(folder: Path, *, dtype: torch.dtype) -> tuple[Any, Retriever]:
    """Theirs, written to `folder`, and ours, read from there."""
    theirs = _varied(BlipForImageTextRetrieval(_config()))
    theirs.save_pretrained(folder)
    ours = chiasm.load(folder, device="cpu", dtype=dtype).module
    return theirs.to(dtype), cast(Retriever, ours)


def write_words(folder: Path) -> None:
    """A vocabulary of BERT's size and special tokens, of words that mean nothing."""
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    (folder / "vocab.txt").write_text("\n".join(special.get(i, f"w{i}") for i in range(START)) + "\n")


def _config() -> BlipConfig:
    text = {"vocab_size": START + 2, "num_attention_heads": 12, "bos_token_id": START}
    ends = {"eos_token_id": END, "sep_token_id": END, "pad_token_id": MARKERS.pad}
    return BlipConfig(text_config=text | ends, vision_config={"layer_norm_eps": 1e-6})


def _varied(model: nn.Module) -> Any:
    """Fresh weights say the same token for ever; larger ones do not."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    return model.eval()
