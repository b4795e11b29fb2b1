"""Tensors out of files that others wrote: safetensors, in one piece or sharded, and pickles that hold nothing else.

folder/   config.json   model.safetensors | model.safetensors.index.json + shards | pytorch_model.bin
file      *.safetensors | *.pth *.pt *.bin *.ckpt

Tensors are mapped into memory, not read, wherever the format allows it.
"""

import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from chiasm.core.dialect import Found
from chiasm.core.files import read_record
from chiasm.weights.folder import CONFIG, WEIGHTS, in_dtype, read_tensors

INDEX = f"{WEIGHTS}.index.json"
OPENCLIP = "open_clip_config.json"
OTHERS = ("pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PICKLED = {".pth", ".pt", ".bin", ".ckpt"}
INSIDE = ("model", "state_dict", "model_state_dict", "module")  # where training scripts put the weights


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What a file or folder of others holds; `config` is what its JSON says of it, or None where there is none."""

    path: Path
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any] | None

    @property
    def found(self) -> Found:
        """All but the numbers."""
        return Found(
            config=self.config or {}, shapes={name: tuple(value.shape) for name, value in self.tensors.items()}
        )


def read_foreign(path: Path, dtype: torch.dtype | None = None) -> Foreign:
    """Everything in `path`, in another `dtype` if one is given.

    Raises a sentence where nothing can be read, or more than tensors would have to be.
    """
    if path.is_file():
        return Foreign(path=path, tensors=_tensors(path, dtype), config=_config(path))
    shards = _shards(path)
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        tensors |= _tensors(shard, dtype)
    return Foreign(path=path, tensors=tensors, config=_config(shards[0]))


def _shards(folder: Path) -> list[Path]:
    """The files that a folder's weights lie in."""
    if (folder / INDEX).is_file():
        names = read_record(folder / INDEX).get("weight_map", {})
        files = sorted({folder / str(name) for name in names.values()})
        if absent := [file.name for file in files if not file.is_file()]:
            raise ValueError(f"{folder} is incomplete: its index names {', '.join(absent)}; fetch the folder again")
        return files
    for name in (WEIGHTS, *OTHERS):
        if (folder / name).is_file():
            return [folder / name]
    if len(single := [file for file in sorted(folder.iterdir()) if file.suffix in PICKLED]) == 1:
        return single
    raise ValueError(f"{folder} holds no weights: looked for {WEIGHTS}, {INDEX} and {', '.join(OTHERS)}")


def _tensors(path: Path, dtype: torch.dtype | None) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_tensors(path, dtype)
    if path.suffix not in PICKLED:
        raise ValueError(f"{path} is no file of weights: chiasm reads .safetensors and {', '.join(sorted(PICKLED))}")
    return in_dtype(lambda: _named(_unpickled(path), path), dtype)


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a TorchScript archive, which raises just after
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        raise ValueError(_refused(path, "torch.load(name, weights_only=False, map_location='cpu')")) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, UnicodeDecodeError, struct.error) as error:
        if "TorchScript" in str(error):  # OpenAI's CLIP
            raise ValueError(_refused(path, "torch.jit.load(name, map_location='cpu').state_dict()")) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} is damaged, or no file of torch's: {reason}") from error


def _is_zip(path: Path) -> bool:
    """Whether torch wrote it since version 1.6; only then can it be mapped."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _refused(path: Path, opened: str) -> str:
    code = f"import torch; name = '{path.name}'; found = {opened}; torch.save(dict(found.get('model', found)), 'w.pth')"
    return (
        f"{path} holds more than tensors, and to read it would run whatever code is in it; "
        f'if you trust it, convert it once by: python -c "{code}"'
    )


def _named(found: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by name, wherever in the file they are."""
    for inside in INSIDE:
        if isinstance(found, dict) and isinstance(found.get(inside), dict):
            found = cast(dict[str, Any], found[inside])
            break
    values: Mapping[Any, Any] = cast(dict[Any, Any], found) if isinstance(found, dict) else {}
    tensors = {str(name): value for name, value in values.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors by name")
    prefix = "module."  # what DistributedDataParallel adds
    every = all(name.startswith(prefix) for name in tensors)
    return {name.removeprefix(prefix): value for name, value in tensors.items()} if every else tensors


def _config(weights: Path) -> Mapping[str, Any] | None:
    """What lies beside a file: `config.json`, and before it OpenCLIP's where the file is called after OpenCLIP."""
    names = (OPENCLIP, CONFIG) if weights.name.startswith("open_clip") else (CONFIG, OPENCLIP)
    found = [path for name in names if (path := weights.parent / name).is_file()]
    return read_record(found[0]) if found else None
