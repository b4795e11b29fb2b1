"""Graphs for other runtimes: a program that knows nothing but the files says the same words."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession

import chiasm
from chiasm.data.text import Tokenizer
from chiasm.predictor.onnx import graphs
from chiasm.predictor.verbs import Predictor

EXPORT = "import sys, chiasm; chiasm.export(chiasm.load(sys.argv[1]), sys.argv[2], format='onnx')"
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def shaken(name: str) -> Predictor:
    """A model of random weights that says more than one word."""
    model = chiasm.create(name, device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


class Runtime:
    """The files, by onnxruntime."""

    def __init__(self, folder: Path) -> None:
        self.about = json.loads((folder / "onnx.json").read_text())
        self.sessions = {name: InferenceSession(folder / f"{name}.onnx") for name in self.about["graphs"]}

    def __call__(self, graph: str, *inputs: np.ndarray) -> list[Any]:
        names = self.about["graphs"][graph]["inputs"]
        return self.sessions[graph].run(None, dict(zip(names, inputs, strict=True)))

    def greedy(self, images: np.ndarray, prompts: Sequence[Sequence[int]], steps: int) -> list[list[int]]:
        """What each row says after its prompt, one token at a time."""
        image = self("recall", self("see", images)[0])
        width, rows = max(map(len, prompts)), len(prompts)
        ids = np.array([[self.about["start"]] * (width - len(row)) + [*row] for row in prompts])
        present = np.array([[False] * (width - len(row)) + [True] * len(row) for row in prompts])
        layers, _, heads, _, width_of_head = image[0].shape
        past = [np.zeros((layers, rows, heads, 0, width_of_head), np.float32)] * 2
        for step in range(width + steps - 1):
            logits, *past = self("speak", ids[:, step : step + 1], present[:, : step + 1], *past, *image)
            if step >= width - 1:
                ids = np.concatenate([ids, logits.argmax(1)[:, None]], axis=1)
                present = np.concatenate([present, np.ones((rows, 1), bool)], axis=1)
        return [
            row[: row.index(self.about["end"])] if self.about["end"] in row else row for row in ids[:, width:].tolist()
        ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blip/tiny", "blip2/tiny-aligner"])
def test_onnxruntime_says_the_same(name: str, tmp_path: Path) -> None:
    model = shaken(name)
    chiasm.export(model, tmp_path / "model", format="chiasm")
    # apart from the checks of shapes in this process, which torch cannot trace
    words = [sys.executable, "-c", EXPORT, tmp_path / "model", tmp_path / "out"]
    subprocess.run(words, check=True, env=os.environ | {"PYTHONWARNINGS": "error"})
    runtime = Runtime(tmp_path / "out")
    words = Tokenizer.load(tmp_path / "out" / "tokenizer.json")
    rng = np.random.default_rng(0)
    for rows in (1, 3):
        pictures = [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(rows)]
        images = model.processor(pictures).numpy()
        seen, vectors = runtime("see", images)
        np.testing.assert_allclose(seen, model.features(images=pictures)["images"], **CLOSE)
        np.testing.assert_allclose(vectors, model.embed(images=pictures), **CLOSE)
        texts = ["a red circle", "two", "a small blue star at the top left"][:rows]
        text = words.encode(texts)
        (found,) = runtime("read", text.ids.numpy(), text.mask.numpy())
        np.testing.assert_allclose(found, model.embed(texts=texts), **CLOSE)
        opening = words.prompt(texts)
        prompts = [ids[mask].tolist() for ids, mask in zip(opening.ids, opening.mask, strict=True)]
        ended = runtime.greedy(images, prompts, 6)
        said = model.caption(pictures, texts, max_new_tokens=6)
        assert [words.decode(row) for row in ended] == [one.text for one in said]


def test_every_model_has_the_graphs_of_its_abilities() -> None:
    for name, expected in (
        ("blip/tiny", {"see", "read", "recall", "speak"}),
        ("blip/tiny-caption", {"see", "recall", "speak"}),
        ("blip/tiny-retrieve", {"see", "read"}),
        ("clip/tiny", {"see", "read"}),
        ("albef/tiny", {"see", "read"}),
        ("blip2/tiny-aligner", {"see", "read", "recall", "speak"}),
    ):
        model = shaken(name)
        with torch.no_grad():
            found = {graph.name: graph for graph in graphs(model)}
            assert found.keys() == expected
            for graph in found.values():
                out = graph.module.eval()(**graph.inputs)
                assert len(out if isinstance(out, tuple) else (out,)) == len(graph.outputs)
                assert graph.free.keys() == graph.inputs.keys()


def test_a_step_is_the_decoders_own() -> None:
    model = shaken("blip/tiny-caption")
    module: Any = model.module
    with torch.no_grad():
        *_, speak = graphs(model)
        seen = module.see(torch.zeros(2, 3, 32, 32))
        ids = torch.full((2, 4), module.start)
        expected, _ = module.speak(ids, module.recall(seen))
        found, *_ = speak.module.eval()(**speak.inputs)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match=r"pip install 'chiasm\[onnx\]'"):
        chiasm.export(chiasm.create("blip/tiny"), tmp_path / "out", format="onnx")
    assert not [*tmp_path.iterdir()]
