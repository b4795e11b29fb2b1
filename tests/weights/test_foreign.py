"""Files of others: read whole, mapped rather than copied, and refused where they would run code."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from chiasm.weights.foreign import read_foreign


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {f"layer.{i}.weight": torch.randn(3, 2) for i in range(3)} | {"head": torch.randn(2)}


def same(found: object) -> bool:
    return isinstance(found, dict) and all(torch.equal(found[name], value) for name, value in tensors().items())


def test_one_file_of_safetensors_and_its_config(tmp_path: Path) -> None:
    safetensors.torch.save_file(tensors(), tmp_path / "model.safetensors")
    assert read_foreign(tmp_path).config is None
    (tmp_path / "config.json").write_text('{"model_type": "blip"}')
    for path in (tmp_path, tmp_path / "model.safetensors"):
        found = read_foreign(path)
        assert same(found.tensors)
        assert found.config == {"model_type": "blip"}


def test_shards(tmp_path: Path) -> None:
    names = {name: f"model-{place % 2}.safetensors" for place, name in enumerate(tensors())}
    for shard in set(names.values()):
        part = {name: value for name, value in tensors().items() if names[name] == shard}
        safetensors.torch.save_file(part, tmp_path / shard)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert same(read_foreign(tmp_path).tensors)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"incomplete: its index names model-1.safetensors"):
        read_foreign(tmp_path)


@pytest.mark.parametrize("inside", ["", "model", "state_dict"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_of_tensors(inside: str, tmp_path: Path, *, legacy: bool) -> None:
    held = {inside: tensors(), "epoch": 3} if inside else tensors()
    torch.save(held, tmp_path / "blip.pth", _use_new_zipfile_serialization=not legacy)
    assert same(read_foreign(tmp_path / "blip.pth").tensors)


def test_what_distributed_training_adds_to_names_is_taken_off(tmp_path: Path) -> None:
    torch.save({f"module.{name}": value for name, value in tensors().items()}, tmp_path / "x.pt")
    assert same(read_foreign(tmp_path / "x.pt").tensors)


def test_a_pickle_that_wants_more_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(ValueError, match=r"whole.pth holds more than tensors.*convert it once by: python -c"):
        read_foreign(tmp_path / "whole.pth")


def test_torchscript_is_refused_with_its_own_way_out(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "clip.pt"))
    with pytest.raises(ValueError, match=r"clip.pt holds more than tensors.*torch.jit.load"):
        read_foreign(tmp_path / "clip.pt")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.pth", b"", "damaged"),
        ("x.pth", b"junk", "damaged"),
        ("x.pth", b"PK\x03\x04 broken", "damaged"),
        ("x.safetensors", b"short", "damaged"),
        ("x.txt", b"hello", r"no file of weights: chiasm reads .safetensors and .bin, .ckpt, .pt, .pth"),
    ],
)
def test_what_cannot_be_read_says_so(name: str, content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        read_foreign(tmp_path / name)


def test_a_folder_without_weights_and_a_file_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no weights: looked for model.safetensors"):
        read_foreign(tmp_path)
    torch.save({"epoch": 1}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds no tensors"):
        read_foreign(tmp_path / "x.pth")


def test_layers_are_counted_and_shapes_asked_for(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "x.pth")
    found = read_foreign(tmp_path / "x.pth").found
    assert found.count("layer.") == 3
    assert found.count("block.") == 0
    assert found.shape("head") == (2,)
    with pytest.raises(ValueError, match="lack tail"):
        found.shape("tail")
