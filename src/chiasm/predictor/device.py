"""Where a model computes, and in which precision, by what a user calls them."""

import torch

from chiasm.core.errors import unknown

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(asked: torch.device | str | None) -> torch.device:
    """What was asked for, if it is there; the GPU where there is one, if nothing was."""
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ValueError(f"{asked!r} is no device; there are cpu, cuda, cuda:1, ...") from None
    if device.type != "cpu" and not _is_here(device):
        raise ValueError(f"device {str(device)!r} was asked for, but torch {torch.__version__} finds no such device")
    return device


def dtype_of(asked: torch.dtype | str | None) -> torch.dtype | None:
    """A precision, which may go by its name; None, that of the file, stays None."""
    if not isinstance(asked, str):
        return asked
    if asked not in DTYPES:
        raise unknown("dtype", asked, DTYPES)
    return DTYPES[asked]


def _is_here(device: torch.device) -> bool:
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return here is not None and device.type == here.type and (device.index or 0) < torch.accelerator.device_count()
