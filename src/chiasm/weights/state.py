"""What a module is made of, each tensor once: the form that files hold."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chiasm.core.ability import Adapts, Lent


def state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, less what is lent; what is tied goes by the first of its names."""
    values = module.state_dict()
    return {name: values[name] for name in _canonical(module) if name in values}


def assign(module: nn.Module, values: Mapping[str, Tensor], *, source: object) -> None:
    """Make `values` the tensors of `module`, which may lie on the meta device; ties stay ties."""
    require(state(module), values, source=source)
    made = dict[int, Tensor]()
    for name, tensor in _canonical(module).items():
        if name in values:
            learns = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(values[name], tensor.requires_grad) if learns else values[name]
    every = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in every:
        if id(tensor) in made:
            owner, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(owner), leaf, made[id(tensor)])


def copy_into(module: nn.Module, values: Mapping[str, Tensor], *, source: object) -> None:
    """Write `values` into the tensors that `module` already has."""
    write(state(module), values, source=source)


@torch.no_grad()
def write(own: Mapping[str, Tensor], values: Mapping[str, Tensor], *, source: object) -> None:
    """Write `values` into tensors of the same names."""
    require(own, values, source=source)
    for name, tensor in own.items():
        tensor.copy_(values[name])


def require(own: Mapping[str, Tensor], values: Mapping[str, Tensor], *, source: object) -> None:
    """Raise unless names and shapes agree to the last one."""
    missing, extra = sorted(own.keys() - values.keys()), sorted(values.keys() - own.keys())
    if missing or extra:
        raise ValueError(
            f"{source} does not fit the model: the file lacks {_listed(missing)}; the model lacks {_listed(extra)}"
        )
    if odd := [name for name in own if own[name].shape != values[name].shape]:
        told = ", ".join(f"{name} is {tuple(values[name].shape)} instead of {tuple(own[name].shape)}" for name in odd)
        raise ValueError(f"{source} does not fit the model: {told}")
    if odd := [name for name in own if own[name].is_floating_point() != values[name].is_floating_point()]:
        raise ValueError(f"{source} does not fit the model: {odd[0]} holds {values[odd[0]].dtype}")


def fitted(module: nn.Module, own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the shapes of its `own`, where their modules know how: positions for pictures of another size."""
    found = dict(values)
    for name in own.keys() & values.keys():
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        if own[name].shape != values[name].shape and isinstance(owner, Adapts):
            found[name] = owner.adapted(leaf, values[name])
    return found


def lent(module: nn.Module) -> dict[str, str]:
    """Paths of parts that are somebody else's, and whose."""
    return {path: part.lender for path, part in module.named_modules() if isinstance(part, Lent) and part.lender}


def moved(
    module: nn.Module, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """`module.to`; but what is lent was packed for the device where it lies, and stays there."""
    for path, lender in lent(module).items():
        here = next(module.get_submodule(path).parameters()).device
        if device is not None and torch.device(device).type != here.type:
            raise ValueError(
                f"{path or 'the model'}, {lender}, was packed on {here} and stays there, but {device} was asked for: "
                f"ask for {here.type}, or hide the GPU from this process (CUDA_VISIBLE_DEVICES=)"
            )
    return module.to(device=device, dtype=dtype)


def _canonical(module: nn.Module) -> dict[str, Tensor]:
    named = dict([*module.named_parameters(), *module.named_buffers()])
    parts = [module.get_submodule(path) for path in lent(module)]
    theirs = {id(tensor) for part in parts for tensor in (*part.parameters(), *part.buffers())}
    return {name: tensor for name, tensor in named.items() if id(tensor) not in theirs}


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "nothing"
