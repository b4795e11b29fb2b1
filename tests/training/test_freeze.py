"""Frozen means frozen: no gradient, and no dropout. A path that trains nothing is an error."""

from types import ModuleType

import pytest
import torch
from torch import nn

from chiasm.core.stage import Stage
from chiasm.training.freeze import covers, groups, set_mode


def stage(**train: float) -> Stage:
    return Stage(
        name="s", preset="p", train={path.replace("_DOT_", "."): scale for path, scale in train.items()}, losses={}
    )


def net() -> nn.ModuleDict:
    return nn.ModuleDict(
        {"a": nn.Sequential(nn.Linear(2, 2), nn.Dropout()), "b": nn.Sequential(nn.Linear(2, 2), nn.Dropout())}
    )


@pytest.mark.parametrize(
    ("path", "name", "yes"),
    [
        ("head", "head.weight", True),
        ("head", "header.weight", False),
        ("head.weight", "head.weight", True),
        ("head.weigh", "head.weight", False),
        ("*_head", "word_head.weight", True),
        ("*_head", "lm.x_head.weight", False),
        ("lm.*", "lm.x_head.weight", True),
        ("layers.*.norm", "layers.11.norm.bias", True),
        ("layers.*.norm", "layers.11.mlp.norm.bias", False),
        ("*", "any.thing", True),
        ("a?b", "axb", False),
        ("a[x]", "ax", False),
        ("a.b", "axb", False),
    ],
)
def test_a_star_stays_within_a_component(path: str, name: str, *, yes: bool) -> None:
    assert covers(path, name) is yes


def test_dropout_of_a_frozen_module_is_off() -> None:
    model = net()
    found = groups(model, stage(b=0.5), weight_decay=0.1)
    set_mode(model)
    assert [(g["scale"], g["weight_decay"], [p.ndim for p in g["params"]]) for g in found] == [
        (0.5, 0.1, [2]),
        (0.5, 0.0, [1]),
    ]
    frozen, learning = model["a"], model["b"]
    assert not any(module.training for module in frozen.modules())
    assert all(module.training for module in learning.modules())
    assert not any(p.requires_grad for p in frozen.parameters())
    assert all(p.requires_grad for p in learning.parameters())
    assert torch.equal(frozen(torch.ones(1, 2)), frozen(torch.ones(1, 2)))


def test_the_first_path_wins_and_every_parameter_is_in_one_group(parts: ModuleType) -> None:
    model = parts.Net.Config().build()
    found = groups(model, stage(**{"tower_DOT_0_DOT_bias": 3.0, "tower": 2.0, "*": 1.0}), weight_decay=0.1)
    scales = {id(p): g["scale"] for g in found for p in g["params"]}
    assert len(scales) == sum(len(g["params"]) for g in found) == len(list(model.parameters()))
    named = {name: scales[id(p)] for name, p in model.named_parameters()}
    assert named["tower.0.bias"] == 3.0
    assert named["tower.0.weight"] == named["tower.2.bias"] == 2.0
    assert named["scale"] == named["head.weight"] == 1.0
    decays = {id(p): g["weight_decay"] for g in found for p in g["params"]}
    assert {name for name, p in model.named_parameters() if decays[id(p)]} == {
        "tower.0.weight",
        "tower.2.weight",
        "head.weight",
    }


def test_a_tied_matrix_answers_to_all_of_its_names(parts: ModuleType) -> None:
    model = parts.Net.Config().build()
    found = groups(model, stage(tail_DOT_weight=1.0), weight_decay=0.1)
    assert [id(p) for g in found for p in g["params"]] == [id(model.head.weight)]


def test_what_a_module_freezes_stays_frozen() -> None:
    model = net()
    model["b"][0].bias.requires_grad_(requires_grad=False)
    found = groups(model, stage(**{"*": 1.0}), weight_decay=0.1)
    assert len([p for g in found for p in g["params"]]) == 3
    assert not model["b"][0].bias.requires_grad


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "tovver",
            r"unknown path to train in stage 's' 'tovver'; did you mean 'tower'\? There are: head, norm, scale, tail",
        ),
        ("tower_DOT_1", r"unknown path to train in stage 's' 'tower\.1'; did you mean 'tower\.\*'\?"),
        ("head_DOT_wait", r"did you mean 'head\.weight'\?"),
    ],
)
def test_a_misspelt_path_names_the_nearest(parts: ModuleType, path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        groups(parts.Net.Config().build(), stage(**{path: 1.0}), weight_decay=0.1)


def test_a_path_that_comes_too_late(parts: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"trains 'head\.bias', but all of it is .* claimed by an earlier path"):
        groups(parts.Net.Config().build(), stage(head=1.0, head_DOT_bias=2.0), weight_decay=0.1)
