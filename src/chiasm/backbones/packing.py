"""Weights of 8 or 4 bits: matrices packed by bitsandbytes while transformers reads them (chiasm[bits]).

    file ─ mapped ─ one matrix at a time ─ codes and scales       embeddings, norms, biases and the word head stay wide

What is packed is never trained, so files of ours say where it came from and hold nothing of it (`core.ability.Lent`).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

# a word of each product, in the log of each call, that is true of any packed model of float32 or bfloat16
USUAL = "MatMul8bitLt: inputs will be cast"


@dataclass(frozen=True, kw_only=True)
class EightBit:
    """Weights of 8 bits, a scale a row (arXiv:2208.07339); columns of states that stick out are multiplied unpacked.

    Which columns those are is asked of a whole batch, so a row's numbers depend a little on who is beside it.
    """

    def options(self, _dtype: torch.dtype) -> dict[str, Any]:
        return {"load_in_8bit": True}


@dataclass(frozen=True, kw_only=True)
class FourBit:
    """Weights of 4 bits, NF4 with packed scales (arXiv:2305.14314, section 3), multiplied as wide as the rest is."""

    def options(self, dtype: torch.dtype) -> dict[str, Any]:
        return {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": dtype,
        }


def options(packed: EightBit | FourBit, dtype: torch.dtype) -> dict[str, Any]:
    """What to ask of transformers, for the device where the packed stays: the current GPU, or else the processor."""
    if lacking := [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]:
        raise ValueError(f"{type(packed).__name__} weights need {' and '.join(lacking)}: pip install 'chiasm[bits]'")
    packing = import_module("transformers").BitsAndBytesConfig(**packed.options(dtype))
    place = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": packing, "device_map": {"": place}}


def settled(read: Callable[[], Any]) -> Any:
    """The packed model that is read, frozen."""
    try:
        model = read()
    except ImportError as error:  # something is not there, or too old
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"packed weights cannot be had here: {first}; pip install -U 'chiasm[bits]'") from error
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_news)
    for layer in (each for each in model.modules() if type(each).__name__ == "Linear4bit"):
        # known by name, since others pack too. On a CPU with that instruction the first product without gradients would
        # pack them anew, with rounded scales, and from then on none would have gradients
        layer.support_avx512bf16_for_cpu = False
    return model.requires_grad_(requires_grad=False)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(USUAL)
