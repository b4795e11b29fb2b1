"""Models that others published: recognised by config and names, and read into our graphs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor, nn

from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.archetypes.spliced import PICTURES, Sense, SplicedLM
from chiasm.core.dialect import Found, Layout, Own
from chiasm.core.errors import unknown
from chiasm.core.system import Config, System
from chiasm.core.types import Pixels
from chiasm.layouts import spliced_lavis, xinstructblip_lavis
from chiasm.nn.norm import LayerNorm
from chiasm.predictor.catalogue import systems
from chiasm.predictor.eyes import read_eyes
from chiasm.predictor.parts import pixels_of
from chiasm.weights.folder import ModelCard, skeleton
from chiasm.weights.foreign import Foreign, read_foreign
from chiasm.weights.state import assign, fitted, state
from chiasm.weights.translate import REST, MisfitError, claimed, translate, untranslate


def read_published(path: Path, dtype: torch.dtype | None = None) -> tuple[nn.Module, ModelCard]:
    """The module of a file or folder of others, in eval mode, and what it is."""
    foreign = read_foreign(path, dtype)
    name, system, layout = recognise(foreign)
    try:
        config, module = _built(layout, foreign)
    except MisfitError as error:  # a head that is lacking makes it look like another
        raise _nearest(foreign, error) or error from error
    pixels = _pixels(layout, foreign.found, path, pixels_of(config, system.fit))
    card = ModelCard(system=name, preset=preset_of(system, config), config=config, pixels=pixels)
    return _even(module).eval(), card


def _built(layout: Layout, foreign: Foreign) -> tuple[Config, nn.Module]:
    """A model of that layout."""
    config = _described(layout, foreign.found, foreign.path)
    module, rules = skeleton(config), layout.rules_for(config)
    own = state(module)
    values = translate(foreign.tensors, rules, source=foreign.path, wanted=own)
    assign(module, fitted(module, own, values), source=foreign.path)
    return config, module


def _nearest(foreign: Foreign, *known: MisfitError) -> ValueError | None:
    """What is wrong with weights that are no model, by the layout that they are most like, if they are like any."""
    misfits, parts = [*known], dict[int, ValueError]()
    for _, _, layout in layouts():
        try:
            _built(layout, foreign)
        except MisfitError as error:
            if 2 * len(error.strange) < len(foreign.tensors):
                misfits.append(error)
        except ValueError as error:
            if claimed(foreign.tensors, layout.rules) == len(foreign.tensors):
                told = f"{foreign.path} holds only a part of a model: {error}; {REST}"
                parts.setdefault(len(layout.rules), ValueError(told))
    if misfits:
        return min(misfits, key=lambda one: len(one.lacking) + len(one.strange))
    return parts[min(parts)] if parts else None  # of the smallest model


def completed(module: nn.Module, card: ModelCard, path: Path) -> tuple[nn.Module, ModelCard]:
    """The same model with what a file has instead: all that was trained, and nothing that was frozen."""
    foreign = read_foreign(path)
    if isinstance(card.config, SplicedLM.Config):
        return _connected(module, card, card.config, foreign)
    forms = [
        (config, above, layout)
        for config, above in _wholes(card.config)
        for _, _, layout in layouts()
        if layout.graph is type(config) and layout.holds(config)
    ]
    if not forms:
        raise ValueError(f"{card.system}/{card.preset} has no published form, so {path} cannot be a part of it")
    config, above, layout = max(forms, key=lambda form: claimed(foreign.tensors, form[2].rules_for(form[0])))
    own, rules = {above + name: value for name, value in state(module).items()}, layout.rules_for(config)
    like = next(iter(own.values()))
    given = {name: value.to(like) if value.is_floating_point() else value for name, value in foreign.tensors.items()}
    kept = untranslate(own, rules, source=f"the {card.system} model")
    assumed = {rule.ours for rule in rules if isinstance(rule, Own)}  # which the base knows
    new = {name: value for name, value in translate(kept | given, rules, source=path).items() if name not in assumed}
    again = skeleton(config)
    assign(again, own | new, source=path)
    return again.eval(), replace(card, config=config, preset=preset_of(systems()[card.system], config))


def _wholes(config: Config) -> Iterator[tuple[Config, str]]:
    """What a file over such a model may be of, and where the model is in that: the first stage of BLIP-2 has words."""
    yield config, ""
    if isinstance(config, QueryRetriever.Config):
        norm = LayerNorm.Config(eps=spliced_lavis.EPS)
        yield QueryAligner.Config(retriever=replace(config, norm=norm)), "retriever."


def _connected(
    module: nn.Module, card: ModelCard, config: SplicedLM.Config, foreign: Foreign
) -> tuple[nn.Module, ModelCard]:
    """The same with the connectors of a file of LAVIS's."""
    path = foreign.path
    several, own = xinstructblip_lavis.senses(foreign.found), {sense.name: sense for sense in config.senses}
    names = several or (PICTURES,)
    if strange := {*names} - own.keys():
        raise unknown("sense of this model", min(strange), own)
    changed = {name: _normed(own[name]) for name in names}
    config = replace(config, senses=tuple(changed.get(sense.name, sense) for sense in config.senses))
    rules = xinstructblip_lavis.rules if several else spliced_lavis.trained
    table = [rule for sense in changed.values() for rule in rules(sense, config.lm)]
    return _with(module, replace(card, config=config), translate(foreign.tensors, table, source=path), [*changed], path)


def _normed(sense: Sense.Config) -> Sense.Config:
    """With the eps that LAVIS computes with, whatever the base says."""
    return replace(sense, connector=replace(sense.connector, eps=spliced_lavis.EPS))


def _with(
    module: nn.Module, card: ModelCard, new: Mapping[str, Tensor], senses: Sequence[str], path: Path
) -> tuple[nn.Module, ModelCard]:
    """The model of that card: `new` are the connectors of these senses, and all else is the module's."""
    gone = tuple(f"senses.{name}.connector." for name in senses)
    kept = {name: value for name, value in state(module).items() if not name.startswith(gone)}
    like = next(iter(kept.values()))
    again = skeleton(card.config)
    assign(again, kept | {name: value.to(like) for name, value in new.items()}, source=path)
    return again.eval(), card


def recognise(foreign: Foreign) -> tuple[str, System, Layout]:
    """Whose weights they are, and in which form."""
    known, found = list(layouts()), foreign.found
    for name, system, layout in known:
        if layout.fits(found):
            return name, system, layout
    if (near := _nearest(foreign)) is not None:
        raise near
    said = found.config.get("architectures") or found.config.get("model_type") or "no config.json"
    some = ", ".join(sorted(found.shapes)[:3])
    raise ValueError(
        f"{foreign.path} holds no model that chiasm knows ({said}; tensors {some}, ...); "
        f"it knows weights of {', '.join(dict.fromkeys(name for name, _, _ in known))}"
    )


def layouts() -> Iterator[tuple[str, System, Layout]]:
    """All forms of all systems."""
    for name, system in systems().items():
        for layout in system.layouts:
            yield name, system, layout


def preset_of(system: System, config: Config) -> str:
    """The preset of that very config, or "custom"."""
    return next((name for name, build in system.presets.items() if build() == config), "custom")


def _even(module: nn.Module) -> nn.Module:
    """All in the widest of its precisions: OpenAI's files mix two."""
    kinds = {weight.dtype for weight in module.parameters()}
    return module.to(reduce(torch.promote_types, kinds)) if len(kinds) > 1 else module


def _described(layout: Layout, found: Found, source: Path) -> Config:
    try:
        return layout.read(found)
    except (TypeError, KeyError, AttributeError, ArithmeticError, StopIteration) as error:
        raise ValueError(f"the config beside {source} is damaged: {type(error).__name__} {error}") from error


def _pixels(layout: Layout, found: Found, path: Path, usual: Pixels) -> Pixels:
    """What the config itself says of pictures, or the preprocessor beside the weights."""
    if layout.eyes is None:
        return read_eyes(path if path.is_dir() else path.parent, usual)
    try:
        return layout.eyes.read(found.config, usual)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"the config beside {path} is damaged: {error}") from error
