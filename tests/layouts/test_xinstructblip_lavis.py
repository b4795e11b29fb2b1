"""X-InstructBLIP's files, one a modality: names as they were published, there and back, each into its own sense."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import chiasm
from chiasm.archetypes.spliced import Sense, SplicedLM
from chiasm.core.dialect import Found
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.layouts import xinstructblip_lavis
from chiasm.layouts.wordings import VICUNA
from chiasm.nn import decoders
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.folder import ModelCard, save_model
from chiasm.weights.state import state
from chiasm.weights.translate import translate, untranslate

EYES = ViT.Config(dim=8, depth=1, heads=2, image=8, stem=PatchStem(patch=4))
LOOKS = QFormer.Config(image_dim=8, text=Words(vocab=20, max_len=12), queries=3, dim=64, depth=2, heads=1, reads=(0,))
LM = decoders.llama(dim=128, depth=1, heads=1, hidden=44, vocab=41)


def sense(name: str) -> Sense.Config:
    connector = QFormerConnector.Config(qformer=LOOKS, eps=1e-5)
    return Sense.Config(name=name, encoder=EYES, connector=connector, cue=f" {name}: ")


CONFIG = SplicedLM.Config(lm=LM, senses=tuple(map(sense, ("image", "video", "audio", "points"))), wording=VICUNA)
HELD = {  # as facts/blip-line.md 3.3 lists them, of each modality
    "query_tokens", "ln.weight", "ln.bias", "llm_proj.weight", "Qformer.bert.embeddings.LayerNorm.weight",
    "Qformer.bert.embeddings.word_embeddings.weight", "Qformer.bert.embeddings.position_embeddings.weight",
    "Qformer.bert.encoder.layer.0.crossattention.self.key.weight",
    "Qformer.bert.encoder.layer.1.attention.output.LayerNorm.bias",
    "Qformer.bert.encoder.layer.1.intermediate.dense.bias", "Qformer.bert.encoder.layer.0.output_query.dense.weight",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> SplicedLM:
    torch.manual_seed(0)
    module = CONFIG.build()
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return module


def written(model: SplicedLM, name: str) -> dict[str, torch.Tensor]:
    own = {key: value for key, value in state(model).items() if key.startswith(f"senses.{name}.connector.")}
    return untranslate(own, xinstructblip_lavis.rules(sense(name), LM), source="ours")


@pytest.mark.parametrize(("name", "theirs"), xinstructblip_lavis.NAMES.items())
def test_a_modality_there_and_back(model: SplicedLM, name: str, theirs: str) -> None:
    values = written(model, name)
    assert values.keys() >= {f"{theirs}_{part}" for part in HELD}
    assert all(key.startswith(f"{theirs}_") for key in values)
    found = Found(config={}, shapes={key: tuple(value.shape) for key, value in values.items()})
    assert xinstructblip_lavis.senses(found) == (name,)
    assert xinstructblip_lavis.read(found, name) == sense(name).connector
    values[f"{theirs}_Qformer.bert.embeddings.position_ids"] = torch.arange(12)[None]
    again = translate(values, xinstructblip_lavis.rules(sense(name), LM), source="theirs")
    own = {key: value for key, value in state(model).items() if key.startswith(f"senses.{name}.connector.")}
    assert again.keys() == own.keys()
    assert all(torch.equal(value, own[key]) for key, value in again.items())


def test_files_go_into_their_senses_and_change_no_other(model: SplicedLM, tmp_path: Path) -> None:
    torch.manual_seed(1)
    few = replace(CONFIG, senses=tuple(map(sense, ("image", "audio", "points"))))
    base, card = few.build(), ModelCard(
        system="instructblip", preset="custom", config=few, pixels=Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD)
    )  # fmt: skip
    save_model(tmp_path / "base", base, card, None)
    torch.save({"model": written(model, "audio") | written(model, "points")}, tmp_path / "two.pth")
    mixed = state(chiasm.load(tmp_path / "two.pth", base=tmp_path / "base", device="cpu").module)
    ours, others, homes = state(model), state(base), ("senses.audio.connector.", "senses.points.connector.")
    for name, value in mixed.items():
        assert torch.equal(value, (ours if name.startswith(homes) else others)[name]), name
    only = replace(card, config=replace(CONFIG, senses=(sense("image"),)))
    save_model(tmp_path / "image", only.config.build(), only, None)
    with pytest.raises(ValueError, match=r"unknown sense of this model 'audio'\. There are: image"):
        chiasm.load(tmp_path / "two.pth", base=tmp_path / "image")
    torch.save({"model": {"audio_query_tokens": torch.zeros(1, 3, 64)}}, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"the file lacks senses\.audio\.connector\.norm\.bias, "):
        chiasm.load(tmp_path / "cut.pth", base=tmp_path / "base")
