"""A model folder gives back the same module: names once, ties tied, nothing missing, nothing extra."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from chiasm.core.config import to_json
from chiasm.core.files import OutputError
from chiasm.core.types import Pixels
from chiasm.systems import blip
from chiasm.weights.folder import ModelCard, last_finished, load_model, save_model
from chiasm.weights.state import copy_into, state

PIXELS = Pixels(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Words:
    """Stands for a tokenizer."""

    def save(self, path: Path) -> None:
        path.write_text("words")


class Knot(nn.Module):
    """Every way in which a module can hold a tensor twice or out of sight."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        dim: int = 3
        hidden: bool = False

        def build(self) -> "Knot":
            return Knot(self)

    queue: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.body = nn.Linear(cfg.dim, cfg.dim)
        self.alias = self.body  # one module, two names
        self.word = nn.Embedding(5, cfg.dim)
        self.out = nn.Linear(cfg.dim, 5)
        self.out.weight = self.word.weight  # one matrix, two modules
        self.still = nn.Parameter(torch.randn(2), requires_grad=False)
        self.register_buffer("queue", torch.randn(4, cfg.dim))
        self.register_buffer("count", torch.tensor(7))
        if cfg.hidden:
            self.register_buffer("order", torch.arange(cfg.dim), persistent=False)


@pytest.fixture(autouse=True)
def part_of_chiasm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files name only types of chiasm's, so the test's module becomes one."""
    home = types.ModuleType("chiasm.knots")
    home.Knot = Knot  # pyright: ignore[reportAttributeAccessIssue]  a module made up for the test
    monkeypatch.setitem(sys.modules, home.__name__, home)
    for kind in (Knot, Knot.Config):
        monkeypatch.setattr(kind, "__module__", home.__name__)


def card(**options: bool) -> ModelCard:
    return ModelCard(system="knot", preset="tiny", config=Knot.Config(**options), pixels=PIXELS)


@pytest.mark.parametrize("hidden", [False, True])
def test_round_trip(tmp_path: Path, *, hidden: bool) -> None:
    torch.manual_seed(0)
    module = card(hidden=hidden).config.build()
    save_model(tmp_path / "m", module, card(hidden=hidden), Words())
    before = torch.get_rng_state()
    again, found = load_model(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), before)
    assert found == card(hidden=hidden)
    assert isinstance(again, Knot)
    assert not again.training
    ours, theirs = state(module), state(again)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)
    assert again.alias is again.body
    assert again.out.weight is again.word.weight
    assert not again.still.requires_grad
    assert again.word.weight.requires_grad
    assert not any(tensor.is_meta for tensor in [*again.parameters(), *again.buffers()])
    if hidden:
        assert torch.equal(dict(again.named_buffers())["order"], torch.arange(3))
    assert (tmp_path / "m" / "tokenizer.json").read_text() == "words"


def test_each_tensor_is_stored_once(tmp_path: Path) -> None:
    save_model(tmp_path / "m", Knot(Knot.Config(hidden=True)), card(hidden=True), Words())
    names = set(safetensors.torch.load_file(tmp_path / "m" / "model.safetensors"))
    assert names == {"body.weight", "body.bias", "word.weight", "out.bias", "still", "queue", "count"}


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    module = Knot(Knot.Config())
    for name in ("a", "b", "b"):
        save_model(tmp_path / name, module, card(), Words())
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_loaded_module_is_its_own(tmp_path: Path) -> None:
    save_model(tmp_path / "m", Knot(Knot.Config()), card(), Words())
    data = (tmp_path / "m" / "model.safetensors").read_bytes()
    module, _ = load_model(tmp_path / "m")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == data


def test_another_precision_leaves_counts_alone(tmp_path: Path) -> None:
    save_model(tmp_path / "m", Knot(Knot.Config()), card(), Words())
    values = state(load_model(tmp_path / "m", dtype=torch.bfloat16)[0])
    assert values["word.weight"].dtype == values["queue"].dtype == torch.bfloat16
    assert values["count"].item() == 7


@pytest.mark.parametrize("preset", ["tiny", "tiny-caption", "tiny-retrieve"])
def test_the_graphs_of_blip_survive(tmp_path: Path, preset: str) -> None:
    config = blip.SYSTEM.presets[preset]()
    module = config.build()
    save_model(tmp_path / "m", module, ModelCard(system="blip", preset=preset, config=config, pixels=PIXELS), Words())
    again, _ = load_model(tmp_path / "m")
    ours, theirs = module.state_dict(), again.state_dict()  # aliases too
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert len(list(module.parameters())) == len(list(again.parameters()))
    assert [p.requires_grad for p in module.parameters()] == [p.requires_grad for p in again.parameters()]


def test_weights_that_do_not_fit_name_both_lists(tmp_path: Path) -> None:
    save_model(tmp_path / "m", Knot(Knot.Config()), card(), Words())
    path = tmp_path / "m" / "model.safetensors"
    values = safetensors.torch.load_file(path)
    values["bodi.weight"] = values.pop("body.weight").clone()
    safetensors.torch.save_file(values, path)
    with pytest.raises(ValueError, match=r"the file lacks body\.weight; the model lacks bodi\.weight"):
        load_model(tmp_path / "m")
    wide = state(Knot(Knot.Config())) | {"body.bias": torch.zeros(4)}
    with pytest.raises(ValueError, match=r"start does not fit the model: body\.bias is \(4,\) instead of \(3,\)"):
        copy_into(Knot(Knot.Config()), wide, source="start")


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    with pytest.raises(ValueError, match=r"m is no model folder: it has no config\.json"):
        load_model(folder)
    save_model(folder, Knot(Knot.Config()), card(), Words())
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-9])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"it has no model\.safetensors"):
        load_model(folder)
    about = json.loads((folder / "config.json").read_text())
    for change, message in (
        ({"format": 2}, "has format 2, but this version of chiasm reads format 1"),
        ({"pixels": about["config"]}, r"expected a config of type core\.types:Pixels"),
        ({"config": to_json(PIXELS)}, r"core\.types:Pixels describes no module"),
    ):
        (folder / "config.json").write_text(json.dumps(about | change))
        with pytest.raises(ValueError, match=message):
            load_model(folder)
    for text, message in (("{", "is damaged"), ("[]", "holds no JSON object"), ('{"format": 1}', "lacks config")):
        (folder / "config.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            load_model(folder)


def test_a_full_disk_keeps_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Knot(Knot.Config())
    save_model(tmp_path / "m", module, card(), Words())
    data = (tmp_path / "m" / "model.safetensors").read_bytes()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"cannot write .*m: No space left on device"):
            save_model(tmp_path / "m", Knot(Knot.Config()), card(), Words())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            save_model(tmp_path / "m", Knot(Knot.Config()), card(), Words())
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == data


def test_a_run_folder_stands_for_its_last_finished_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no model yet: it holds neither config\.json nor a run"):
        last_finished(tmp_path)
    for name in ("1-one", "2-two", "10-ten", "11-unfinished"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"its runs \(1-one, 2-two, 10-ten, 11-unfinished\) are not finished"):
        last_finished(tmp_path)
    for name in ("1-one", "2-two", "10-ten"):
        (tmp_path / name / "done.json").write_text("{}")
    assert last_finished(tmp_path) == tmp_path / "10-ten" / "model"
    assert last_finished(tmp_path / "1-one") == tmp_path / "1-one" / "model"
    save_model(tmp_path / "m", Knot(Knot.Config()), dataclasses.replace(card(), preset="p"), Words())
    assert last_finished(tmp_path / "m") == tmp_path / "m"


def test_a_skeleton_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from chiasm.weights.folder import outline, skeleton, without_memory\n"
        "from chiasm.systems import blip, clip, xinstructblip\n"
        "assert skeleton(blip.tiny()).retriever.towers.encoder.embed.word.weight.is_meta\n"
        "outline(xinstructblip.SYSTEM.presets['tiny']())\n"
        "with without_memory(): assert clip.tiny().build().temperature.is_meta\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
