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


def packed_by(packed: EightBit | FourBit, read: Callable[..., Any], dtype: torch.dtype) -> Any:
    """What transformers reads, packed on the device where it stays: the current GPU, or else here."""
    what = type(packed).__name__
    if lacking := [name for name in ("bitsandbytes", "accelerate") if find_spec(name) is None]:
        raise ValueError(f"{what} weights need {' and '.join(lacking)}: pip install 'chiasm[bits]'")
    place = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    try:
        packing = import_module("transformers").BitsAndBytesConfig(**packed.options(dtype))
        model = read(quantization_config=packing, device_map={"": place})
    except ImportError as error:  # they are too old for it
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"{what} weights cannot be had here: {first}; pip install -U 'chiasm[bits]'") from error
    logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_news)
    kind = import_module("bitsandbytes").nn.Linear4bit
    for layer in (each for each in model.modules() if isinstance(each, kind)):
        # or a product without gradients, on a CPU with that instruction, would pack it anew with other scales, and
        # products with gradients would silently have none from then on
        layer.support_avx512bf16_for_cpu = False
    return model.requires_grad_(False)  # noqa: FBT003 - transformers' own way


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(USUAL)
