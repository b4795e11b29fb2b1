"""What every file in `chiasm.systems` must be, checked for all of them."""

import importlib
import inspect
import pkgutil
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chiasm import systems
from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.ability import Judges
from chiasm.core.config import from_json, to_json
from chiasm.core.stage import Stage
from chiasm.core.system import System
from chiasm.core.types import Asked, Frames, ImageText, Instructed, Labelled, Points, Prompt, Text, Waves, Worded
from chiasm.predictor.abilities import NEEDS
from chiasm.training.freeze import groups, set_mode
from chiasm.training.inherit import inherit

MODULES = {
    found.name: importlib.import_module(f"chiasm.systems.{found.name}")
    for found in pkgutil.iter_modules(systems.__path__)
}
SYSTEMS: dict[str, System] = {name: module.SYSTEM for name, module in MODULES.items()}
PRESETS = [(name, preset) for name, system in SYSTEMS.items() for preset in system.presets]
STAGES = [(name, stage) for name, system in SYSTEMS.items() for stage in system.stages]
each_stage = pytest.mark.parametrize(("name", "stage"), STAGES, ids=lambda value: getattr(value, "name", value))


def _built(name: str, stage: Stage) -> nn.Module:
    torch.manual_seed(0)
    return SYSTEMS[name].presets[stage.preset]().build()


def _text(rows: int, *, seed: int = 1) -> Text:
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([9, 5, 7, 6, 9, 3, 4, 8, 2])[:rows, None]
    return Text(torch.randint(7, 200, (rows, 9), generator=rng), torch.arange(9)[None] < lengths)


def _captions(_: nn.Module) -> ImageText:
    return ImageText(torch.randn(6, 3, 32, 32), _text(6), torch.arange(6))


def _questions(_: nn.Module) -> Asked:
    rows, weights = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4, 5]), torch.rand(9) + 0.1
    return Asked(torch.randn(6, 3, 32, 32), _text(6), _text(9, seed=2), rows, weights)


def _labels(model: nn.Module) -> Labelled:
    assert isinstance(model, Judges)
    label = torch.arange(6) % len(model.labels)
    return Labelled(torch.randn(6, model.pictures, 3, 32, 32), _text(6), label)


def _media(model: SplicedLM, sense: str) -> Tensor:
    """Six things for that sense, as large as it wants them."""
    match model.media[sense]:
        case Frames(count=count):
            return torch.randn(6, count, 3, 32, 32)
        case Waves() as waves:
            return torch.rand(6, waves.clips, waves.frame + (waves.frames - 1) * waves.hop) - 0.5
        case Points(count=count):
            return torch.rand(6, 1, count, 3) - 0.5


def _instructions(model: nn.Module) -> Instructed:
    assert isinstance(model, SplicedLM)
    shown = {name: _media(model, name) for name in model.cues}
    places = torch.tensor([[model.wording.place(number) for number in range(len(shown))]]).expand(6, -1)
    words = _text(6, seed=3)
    prompt = Text(torch.cat([places, words.ids[:, :3]], dim=1), torch.ones(6, 3 + len(shown), dtype=torch.bool))
    return Instructed(shown, Prompt(prompt, _text(6, seed=4) if model.hinted else None), words)


def _texts(_: nn.Module) -> Worded:
    said = _text(6)
    return Worded(Text(said.ids[:, :1], said.mask[:, :1]), said)


BATCHES = {ImageText: _captions, Asked: _questions, Labelled: _labels, Instructed: _instructions, Worded: _texts}


def _batch(model: nn.Module) -> Any:
    """Of the kind that the graph's `forward` says it takes."""
    torch.manual_seed(1)
    return BATCHES[inspect.signature(type(model).forward).parameters["batch"].annotation](model)


def _step(model: nn.Module, stage: Stage) -> None:
    optimiser = torch.optim.AdamW(groups(model, stage, weight_decay=0.05), lr=1e-2)
    set_mode(model)
    losses = model(_batch(model))
    assert losses.keys() == stage.losses.keys()
    torch.stack([weight * losses[part] for part, weight in stage.losses.items()]).sum().backward()
    optimiser.step()


@pytest.mark.parametrize("name", SYSTEMS)
def test_one_file_one_page_one_paper(name: str) -> None:
    module = MODULES[name]
    assert SYSTEMS[name].paper in module.__doc__
    assert len(Path(module.__file__).read_text().splitlines()) <= 150
    assert "tiny" in SYSTEMS[name].presets


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_builds_and_survives_json(name: str, preset: str) -> None:
    config = SYSTEMS[name].presets[preset]()
    assert from_json(to_json(config)) == config
    with torch.device("meta"):
        config.build()


@pytest.mark.parametrize(("name", "preset"), [each for each in PRESETS if each[1].startswith("tiny")])
def test_abilities_are_methods_not_weights(name: str, preset: str) -> None:
    """From Python 3.12 on `isinstance` does not see what only a module's `__getattr__` finds: weights and parts."""
    with torch.device("meta"):
        model = SYSTEMS[name].presets[preset]().build()
    kinds = [kind for kind in {kind for kinds in NEEDS.values() for kind in kinds} if isinstance(model, kind)]
    for kind in kinds:
        wanted = {member for base in kind.__mro__[:-1] for member in vars(base) if not member.startswith("_")}
        for member in wanted:
            inspect.getattr_static(model, member)


@each_stage
def test_every_trained_weight_gets_a_gradient_and_moves(name: str, stage: Stage) -> None:
    model = _built(name, stage)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    _step(model, stage)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == trained
    assert {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])} == trained


@each_stage
def test_every_frozen_weight_stays_bit_identical(name: str, stage: Stage) -> None:
    """Also with half of what the stage trains taken away, so that something is frozen in every system."""
    model = _built(name, stage)
    kept = dict(list(stage.train.items())[:1])
    reduced = Stage(name="reduced", preset=stage.preset, train=kept, losses=stage.losses)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    _step(model, reduced)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters() if name in frozen)


def _predecessor(name: str, stage: Stage) -> nn.Module:
    """The first stage that has all that this one inherits: of its own system, or of one that came before."""
    stages = SYSTEMS[name].stages
    own = [(name, earlier) for earlier in stages[: stages.index(stage)] or stages[:1]]
    for where, earlier in (*own, *(each for each in STAGES if each[0] != name)):
        model = _built(where, earlier)
        with suppress(ValueError):
            inherit(_built(name, stage), model, stage)
            return model
    raise AssertionError(f"no stage has all that {stage.name} inherits")


@each_stage
def test_a_stage_inherits_what_its_predecessor_has(name: str, stage: Stage) -> None:
    first, model = _predecessor(name, stage), _built(name, stage)
    inherit(model, first, stage)
    state, given = model.state_dict(), first.state_dict()
    for ours, theirs in stage.inherit.items():
        taken = [key for key in state if key == ours or fnmatchcase(key, f"{ours}.*" if ours else "*")]
        assert taken, ours
        for key in taken:
            depth = len(ours.split(".")) if ours else 0
            stars = dict(zip(ours.split("."), key.split("."), strict=False))
            if "-*" in theirs:
                lists = first.get_submodule(theirs.split(".-*")[0]), model.get_submodule(ours.split(".*")[0])
                stars["-*"] = str(int(stars["*"]) + len(lists[0]) - len(lists[1]))
            there = [stars.get(part, part) if "*" in part else part for part in theirs.split(".") if part]
            assert torch.equal(state[key], given[".".join([*there, *key.split(".")[depth:]])])
