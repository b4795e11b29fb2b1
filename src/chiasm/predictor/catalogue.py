"""What there is: every system with its paper, sizes, stages and abilities."""

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from types import MappingProxyType

from torch import nn

from chiasm import systems as folder
from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.errors import unknown
from chiasm.core.system import Config, System
from chiasm.nn.connector import LinearConnector, QFormerConnector
from chiasm.predictor.abilities import NEEDS, abilities
from chiasm.weights.folder import outline, without_memory


@dataclass(frozen=True)
class SystemInfo:
    """One published method; what only a module can tell is found out when asked for, on the meta device."""

    name: str
    paper: str
    presets: tuple[str, ...]
    stages: tuple[str, ...]
    weights: tuple[str, ...]  # the authors': names on the hub, or files to download

    @cached_property
    def abilities(self) -> tuple[str, ...]:
        """The verbs that at least one preset has."""
        every = {verb for preset in self.presets for verb in self.abilities_of(preset)}
        return tuple(verb for verb in NEEDS if verb in every)

    def abilities_of(self, preset: str) -> tuple[str, ...]:
        """The verbs of one preset; presets of one graph differ in size only, so the first stands for all."""
        kind = type(config_of(f"{self.name}/{preset}"))
        first = next(name for name in self.presets if type(config_of(f"{self.name}/{name}")) is kind)
        return _abilities(config_of(f"{self.name}/{first}"))

    def parameters(self, preset: str) -> int:
        """How many numbers training can change; a momentum twin is not counted."""
        return _parameters(config_of(f"{self.name}/{preset}"))


def catalogue() -> Mapping[str, SystemInfo]:
    """Every system by name."""
    return MappingProxyType(
        {
            name: SystemInfo(
                name=name,
                paper=system.paper,
                presets=tuple(system.presets),
                stages=tuple(stage.name for stage in system.stages),
                weights=system.weights,
            )
            for name, system in systems().items()
        }
    )


def config_of(name: str) -> Config:
    """The config of `system/preset`."""
    of, _, preset = name.partition("/")
    known = systems()
    if of not in known:
        alike = [f"{system}/{preset or of}" for system, info in known.items() if (preset or of) in info.presets]
        raise unknown("model", name, alike or known)
    if preset not in known[of].presets:
        raise unknown("model", name, [f"{of}/{one}" for one in known[of].presets])
    return known[of].presets[preset]()


def able(verb: str) -> dict[str, list[str]]:
    """The presets that have the tensors for a verb, by system."""
    return {
        name: [preset for preset in info.presets if verb in info.abilities_of(preset)]
        for name, info in catalogue().items()
    }


@cache
def systems() -> Mapping[str, System]:
    """The folder of systems is the list of them."""
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    return {name: vars(import_module(f"{folder.__name__}.{name}"))["SYSTEM"] for name in names}


@cache
def _abilities(config: Config) -> tuple[str, ...]:
    with without_memory():
        return abilities(config.build())


@cache
def _parameters(config: Config) -> int:
    """Parts that many presets show to each other are built once."""
    if isinstance(config, SplicedLM.Config):
        return sum(_parameters(part) for part in _parts(config))
    return sum(parameter.numel() for parameter in outline(config).parameters())


def _parts(config: SplicedLM.Config) -> Iterator[Config]:
    """All that a spliced model is made of."""
    yield config.lm
    for sense in config.senses:
        yield sense.encoder
        yield _Connection(sense.connector, dim=config.widths[sense.perceiver], out=config.lm.dim)


@dataclass(frozen=True)
class _Connection:
    """A connector, and the widths it connects."""

    connector: QFormerConnector.Config | LinearConnector.Config
    dim: int
    out: int

    def build(self) -> nn.Module:
        return self.connector.build(self.dim, self.out)
