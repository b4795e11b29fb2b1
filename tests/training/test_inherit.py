"""What one stage takes over from another, by path."""

from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import nn

from chiasm.archetypes.med import MED, Retriever
from chiasm.core.stage import Stage
from chiasm.nn.vit import NormedStem, PatchStem, ViT
from chiasm.systems import blip
from chiasm.training.inherit import inherit


def stage(inherits: dict[str, str]) -> Stage:
    return Stage(name="s", preset="p", train={}, losses={}, inherit=inherits)


@pytest.mark.parametrize("name", ["caption", "retrieve"])
def test_the_stages_of_blip(name: str) -> None:
    torch.manual_seed(0)
    before, declared = blip.tiny().build(), blip.SYSTEM.stage(name)
    model = blip.SYSTEM.presets[declared.preset]().build()
    inherit(model, before, declared)
    theirs = before.get_submodule(declared.inherit[""]).state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("before", [blip.tiny(), blip.retriever(blip.tiny())])
def test_what_only_training_needs_begins_anew_where_there_was_none(before: MED.Config | Retriever.Config) -> None:
    """A published model has no twin and no queues."""
    torch.manual_seed(0)
    whole = isinstance(before, MED.Config)
    bare = replace(before.retriever if whole else before, alignment=None)
    published = (replace(before, retriever=bare) if whole else bare).build()
    model = blip.retriever(blip.tiny()).build()
    inherit(model, published, stage({"": "retriever" if whole else ""}))
    held = {name.removeprefix("retriever."): value for name, value in published.state_dict().items()}
    for name, value in model.state_dict().items():
        kept = name.replace("alignment.twin.copy", "towers")
        assert name.startswith(("alignment.image_queue", "alignment.text_queue", "alignment.forwards")) or (
            torch.equal(value, held[kept])
        ), name


def test_paths_on_both_sides() -> None:
    model = nn.ModuleDict({"eye": nn.Linear(2, 2), "new": nn.Linear(2, 2)})
    before = nn.ModuleDict({"body": nn.ModuleDict({"vision": nn.Linear(2, 2)}), "eyes": nn.Linear(2, 2)})
    new = model["new"].weight.clone()
    inherit(model, before, stage({"eye": "body.vision"}))
    assert torch.equal(model["eye"].weight, before["body"]["vision"].weight)
    assert torch.equal(model["new"].weight, new)
    inherit(model, before, stage({"eye": "body.vision", "new.weight": "eyes.weight"}))
    assert torch.equal(model["new"].weight, before["eyes"].weight)
    assert not torch.equal(model["new"].bias, before["eyes"].bias)


def test_any_name_of_a_tied_tensor_will_do(parts: ModuleType) -> None:
    before, model = parts.Net.Config().build(), parts.Net.Config().build()
    inherit(model, before, stage({"tail": "tail"}))
    assert torch.equal(model.head.weight, before.head.weight)
    assert model.tail.weight is model.head.weight
    assert not torch.equal(model.head.bias, before.head.bias)


def test_a_tie_cannot_hold_two_tensors(parts: ModuleType) -> None:
    before = nn.ModuleDict({"head": nn.Linear(4, 4), "tail": nn.Linear(4, 4)})
    with pytest.raises(ValueError, match=r"head\.weight is tied, but the previous model has several tensors"):
        inherit(parts.Net.Config().build(), before, stage({"head": "head", "tail": "tail"}))


@pytest.mark.parametrize(
    ("inherits", "message"),
    [
        ({"towr": "tower"}, r"unknown path to inherit in stage 's' 'towr'; did you mean 'tower'\?"),
        ({"tower": "touwer"}, r"inherits touwer\.0\.weight, .*, which the previous model does not have"),
        ({"norm": "head"}, r"inherits norm\.weight of shape \(4,\) from head\.weight of shape \(4, 4\)"),
    ],
)
def test_paths_that_do_not_fit(parts: ModuleType, inherits: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inherit(parts.Net.Config().build(), parts.Net.Config().build(), stage(inherits))


@pytest.mark.parametrize("stem", [PatchStem(patch=32), NormedStem(patch=32)], ids=["blip", "clip"])
@pytest.mark.parametrize(("before", "after"), [(224, 256), (224, 384), (384, 480)])
def test_positions_are_resized_for_another_picture_size(stem: PatchStem | NormedStem, before: int, after: int) -> None:
    torch.manual_seed(0)
    config = ViT.Config(dim=8, depth=1, heads=1, image=before, stem=stem)
    small, large = nn.ModuleDict({"v": config.build()}), nn.ModuleDict({"v": replace(config, image=after).build()})
    inherit(large, small, Stage(name="larger", preset="", train={"v": 1.0}, losses={}, inherit={"v": "v"}))
    assert torch.equal(large["v"].position[:, :1], small["v"].position[:, :1])
    assert torch.equal(large["v"].stem.weight, small["v"].stem.weight)
    torch.testing.assert_close(large["v"].position, large["v"].adapted("position", small["v"].position))


def _stack(depth: int) -> nn.Module:
    return nn.ModuleDict({"layers": nn.ModuleList(nn.ModuleDict({"a": nn.Linear(2, 2)}) for _ in range(depth))})


@pytest.mark.parametrize(("theirs", "first"), [("layers.*.a", 0), ("layers.-*.a", 3)])
def test_layers_from_the_front_and_from_the_end(theirs: str, first: int) -> None:
    model, before = _stack(2), _stack(5)
    inherit(model, before, stage({"layers.*.a": theirs}))
    for i in range(2):
        taken = before.get_submodule(f"layers.{first + i}").state_dict()
        assert all(
            torch.equal(value, taken[key]) for key, value in model.get_submodule(f"layers.{i}").state_dict().items()
        )
    with pytest.raises(ValueError, match=r"layers\.-?\d\.a.*does not have"):
        inherit(before, model, stage({"layers.*.a": theirs}))
