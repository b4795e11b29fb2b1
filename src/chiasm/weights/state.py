"""What a module is made of, each tensor once: the form that files hold."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; what is tied goes by the first of its names."""
    values = module.state_dict()
    return {name: values[name] for name in _canonical(module) if name in values}


def assign(module: nn.Module, values: Mapping[str, Tensor], *, source: object) -> None:
    """Make `values` the tensors of `module`, which may lie on the meta device; ties stay ties."""
    require(state(module), values, source=source)
    made = {
        name: nn.Parameter(values[name], requires_grad=parameter.requires_grad)
        for name, parameter in module.named_parameters()
    }
    first = _canonical(module)
    named = {id(tensor): name for name, tensor in first.items()}
    every = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    ours = {name: named[id(tensor)] for name, tensor in every}
    module.load_state_dict(
        {name: made.get(ours[name], values[ours[name]]) for name in module.state_dict()}, assign=True, strict=True
    )


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


def _canonical(module: nn.Module) -> dict[str, Tensor]:
    return dict([*module.named_parameters(), *module.named_buffers()])


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "nothing"
