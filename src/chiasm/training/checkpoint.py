"""Everything that the next step depends on, in one file: weights, optimiser, random state, data position."""

import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from chiasm.core.files import write_atomic, writing
from chiasm.weights.state import copy_into, state

KEPT = 2
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a run has come: steps, pictures, the best validation, bytes of metrics, place in the data."""

    step: int = 0
    pictures: int = 0
    best: float | None = None
    metrics: int = 0
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def save(folder: Path, position: Position, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint, then forget all but the last two."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _gather(model, optimizer).items()}
    note = json.dumps(asdict(position))
    data = safetensors.torch.save(tensors, {"position": note, "check": _check(tensors, note)})
    write_atomic(folder / f"step-{position.step:08d}.safetensors", data)
    with writing(folder):
        for old in _found(folder)[:-KEPT]:
            old.unlink()


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position | None:
    """Go back to the newest checkpoint that can be read, if there is one."""
    for path in reversed(_found(folder)):
        try:
            position, tensors = _read(path)
        except (SafetensorError, ValueError) as error:
            LOG.warning("%s is damaged (%s): going on from before it", path, error)
            continue
        _spread(tensors, model, optimizer, source=path)
        return position
    return None


def check(module: nn.Module) -> str:
    """A checksum of a module's weights."""
    return _check({name: tensor.cpu().contiguous() for name, tensor in state(module).items()}, "")


def _gather(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    moments = optimizer.state_dict()["state"]
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        random["cuda"] = torch.cuda.get_rng_state()
    return (
        {f"model.{name}": tensor for name, tensor in state(model).items()}
        | {f"optimizer.{index}.{name}": tensor for index, held in moments.items() for name, tensor in held.items()}
        | {f"random.{name}": tensor for name, tensor in random.items()}
    )


def _spread(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, *, source: Path) -> None:
    copy_into(model, _under("model.", tensors), source=source)
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _under("optimizer.", tensors).items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor.clone()  # the file is mapped, and will be deleted
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"].clone())
    if "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"].clone())


def _read(path: Path) -> tuple[Position, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        notes: dict[str, str] = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    if _check(tensors, notes.get("position", "")) != notes.get("check"):
        raise ValueError("its checksum is wrong")
    return Position(**json.loads(notes["position"])), tensors


def _check(tensors: Mapping[str, Tensor], note: str) -> str:
    total = zlib.crc32(note.encode())
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return f"{total:08x}"


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))
