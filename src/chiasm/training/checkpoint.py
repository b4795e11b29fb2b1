"""Everything that the next step depends on, in one file: weights, optimiser, random state, data position.

Weights that are frozen stay where they came from: a run that is started again brings them again.
Of several processes the first writes and reads it, for all: they share weights and moments, and each
has a random state and a position of its own.
"""

import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from chiasm.core import ranks
from chiasm.core.ability import Restarts
from chiasm.core.files import write_atomic, writing
from chiasm.weights.state import state, write

KEPT = 2
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a run has come: steps, pictures, the best validation, bytes of metrics, each one's place in the data."""

    step: int = 0
    pictures: int = 0
    best: float | None = None
    metrics: int = 0
    data: Sequence[Mapping[str, Any]] = ()


def save(folder: Path, position: Position, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint, then forget all but the last two."""
    found = _gather(model, optimizer)
    if ranks.rank() > 0:
        return
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}
    note = json.dumps(asdict(position))
    data = safetensors.torch.save(tensors, {"position": note, "check": _check(tensors, note)})
    write_atomic(folder / f"step-{position.step:08d}.safetensors", data)
    with writing(folder):
        for old in _found(folder)[:-KEPT]:
            old.unlink()


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position | None:
    """Go back to the newest checkpoint that can be read, if there is one."""
    position, tensors = _shared(_newest(folder) if ranks.rank() == 0 else (None, {}))
    if position is None:
        return None
    if len(position.data) != ranks.world():
        raise ValueError(
            f"{folder} was saved by {len(position.data)} processes, and {ranks.world()} would not end in the same "
            f"weights: start {len(position.data)}, or use another folder"
        )
    _spread(tensors, model, optimizer, source=folder)
    return position


def check(module: nn.Module) -> str:
    """A checksum of a module's weights."""
    return _check({name: tensor.cpu().contiguous() for name, tensor in state(module).items()}, "")


def _newest(folder: Path) -> tuple[Position | None, dict[str, Tensor]]:
    for path in reversed(_found(folder)):
        try:
            return _read(path)
        except (SafetensorError, ValueError) as error:
            LOG.warning("%s is damaged (%s): going on from before it", path, error)
    return None, {}


def _shared(found: tuple[Position | None, dict[str, Tensor]]) -> tuple[Position | None, dict[str, Tensor]]:
    """What the first process read, for all."""
    position, tensors = found
    position, shapes = ranks.told((position, {name: (each.shape, each.dtype) for name, each in tensors.items()}))
    tensors = tensors or {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
    return position, {name: ranks.agreed(tensors[name]) for name in shapes}


def _gather(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    moments = optimizer.state_dict()["state"]
    random = {"cpu": ranks.gather(torch.get_rng_state()[None])}  # a row a process
    if torch.cuda.is_initialized():
        random["cuda"] = ranks.gather(torch.cuda.get_rng_state()[None])
    return (
        {f"model.{name}": tensor for name, tensor in _moving(model).items()}
        | {f"optimizer.{index}.{name}": tensor for index, held in moments.items() for name, tensor in held.items()}
        | {f"random.{name}": tensor for name, tensor in random.items()}
    )


def _spread(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer, *, source: Path) -> None:
    write(_moving(model), _under("model.", tensors), source=source)
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _under("optimizer.", tensors).items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor.clone()  # the file is mapped, and will be deleted
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random.cpu"][ranks.rank()].clone())
    if "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"][ranks.rank()].clone())


def _moving(model: nn.Module) -> dict[str, Tensor]:
    """What a step may change: what learns, what follows what learns, and buffers."""
    follows = (part for part in model.modules() if isinstance(part, Restarts))
    moves = {id(weight) for part in follows for weight in part.parameters()}
    still = {name for name, weight in model.named_parameters() if not weight.requires_grad and id(weight) not in moves}
    return {name: tensor for name, tensor in state(model).items() if name not in still}


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
