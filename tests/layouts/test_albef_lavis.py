"""ALBEF's original files: told from shapes alone, computed as BERT computes, and written back to the same bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer

import chiasm
from chiasm.archetypes.align import Alignment
from chiasm.archetypes.answer import Answerer, DistilledAnswerer, Opening
from chiasm.archetypes.fusion import Fusion, MaskedFusion
from chiasm.archetypes.judge import ASSIGNED, ENTAILMENT, TRUTH, DistilledJudge, Judge
from chiasm.core.types import Pixels, Text
from chiasm.data.images import CLIP_MEAN, CLIP_STD
from chiasm.layouts.albef_lavis import MARKERS
from chiasm.nn.bert import Bert
from chiasm.nn.turns import Turns
from chiasm.nn.vit import PatchStem, ViT
from chiasm.predictor.verbs import Predictor
from chiasm.weights.folder import ModelCard

VISION = ViT.Config(dim=128, depth=1, heads=2, image=16, stem=PatchStem(patch=8))
WORDS = Bert.Config(vocab=200, image_dim=128, dim=64, heads=1, reads=(6, 7, 8, 9, 10, 11), max_len=24)
ALONE = Fusion.Config(vision=VISION, text=WORDS, markers=MARKERS, embed=12, alignment=None)
ANSWER = replace(WORDS, image_dim=64, depth=6, reads=(0, 1, 2, 3, 4, 5))
VQA = Answerer.Config(
    vision=VISION, question=WORDS, answer=ANSWER, markers=MARKERS, opening=Opening.CLS, smoothing=0.0, first=2
)
VE = Judge.Config(vision=VISION, text=WORDS, markers=MARKERS, labels=ENTAILMENT, opening=Opening.CLS)
NLVR2 = replace(VE, text=Turns.Config(bert=WORDS), labels=TRUTH)
GRAPHS = {"retrieve": ALONE, "pretrain": MaskedFusion.Config(fusion=ALONE), "vqa": VQA, "ve": VE, "nlvr2": NLVR2}
# names of facts/blip-line.md 3.2
HELD = {
    "pretrain": "text_encoder.bert.encoder.layer.6.crossattention.self.key.weight",
    "retrieve": "text_encoder.encoder.layer.6.crossattention.self.key.weight",
    "vqa": "text_decoder.bert.encoder.layer.5.crossattention.self.key.weight",
    "ve": "cls_head.2.weight",
    "nlvr2": "text_encoder.encoder.layer.17.crossattention.self.value.bias",
}


def exported(config: Any, folder: Path) -> tuple[Predictor, Path]:
    torch.manual_seed(0)
    card = ModelCard(
        system="albef", preset="custom", config=config, pixels=Pixels(size=16, mean=CLIP_MEAN, std=CLIP_STD)
    )
    model = Predictor(config.build(), card, None)
    with torch.no_grad():
        for weight in model.module.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model, chiasm.export(model, folder / "out", format="lavis") / "lavis.pth"


@pytest.mark.parametrize("name", GRAPHS)
def test_shapes_tell_everything_there_and_back(tmp_path: Path, name: str) -> None:
    model, path = exported(GRAPHS[name], tmp_path)
    held = torch.load(path, weights_only=True)["model"]
    assert HELD[name] in held
    assert "text_encoder.encoder.layer.5.crossattention.self.key.weight" not in held
    again = chiasm.load(path)
    assert (again.system, again.config) == ("albef", model.config)
    assert again.module.state_dict().keys() == model.module.state_dict().keys()
    for key, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[key]), key


def layer_of(held: dict[str, torch.Tensor], number: int) -> BertLayer:
    """A layer of `transformers`' BERT, which the files name alike."""
    below = f"text_encoder.encoder.layer.{number}."
    own = {name.removeprefix(below): value for name, value in held.items() if name.startswith(below)}
    config = BertConfig(
        hidden_size=64, num_attention_heads=1, intermediate_size=256, is_decoder=True, add_cross_attention=number > 5,
        attn_implementation="eager",
    )  # fmt: skip
    config.encoder_hidden_size = 128
    layer = BertLayer(config)
    for kind in ("key", "value") if number > 5 else ():
        layer.crossattention.self.get_submodule(kind).weight = torch.nn.Parameter(torch.empty(64, 128))
    layer.load_state_dict(own, strict=True)
    return layer.eval()


@pytest.mark.parametrize("name", ["retrieve", "nlvr2"])
@torch.inference_mode()
def test_the_text_network_is_bert_layer_by_layer(tmp_path: Path, name: str) -> None:
    path = exported(GRAPHS[name], tmp_path)[1]
    held, module = torch.load(path, weights_only=True)["model"], chiasm.load(path).module
    torch.manual_seed(1)
    ids, pictures = torch.randint(105, 200, (1, 6)), torch.randn(2, 5, 128)
    ids[:, 0], ids[:, -1] = MARKERS.cls, MARKERS.sep
    config = BertConfig(vocab_size=200, hidden_size=64, max_position_embeddings=24, type_vocab_size=1)
    embed = BertEmbeddings(config).eval()
    below = "text_encoder.embeddings."
    own = {key.removeprefix(below): value for key, value in held.items() if key.startswith(below)}
    embed.load_state_dict(own | {"token_type_embeddings.weight": torch.zeros(1, 64)})
    x = embed(input_ids=ids[:, :-1])  # no [SEP]
    for number in range(12 if name == "retrieve" else 18):
        picture = pictures[:1] if name == "retrieve" or number % 2 == 0 else pictures[1:]
        x = layer_of(held, number)(x, encoder_hidden_states=picture if number > 5 else None)
        x = x[0] if isinstance(x, tuple) else x
    text = Text(ids, torch.ones_like(ids, dtype=torch.bool))
    if isinstance(module, Fusion):
        said, weight = module.match(pictures[:1], text, torch.tensor([0])), held["itm_head.weight"]
        told = x[:, 0] @ weight.T + held["itm_head.bias"]
    else:
        assert isinstance(module, Judge)
        said = module.judge(pictures.flatten(0, 1)[None], text, torch.tensor([0]))
        hidden = (x[:, 0] @ held["cls_head.0.weight"].T + held["cls_head.0.bias"]).relu()
        told = hidden @ held["cls_head.2.weight"].T + held["cls_head.2.bias"]
    torch.testing.assert_close(said, told, rtol=1e-4, atol=1e-5)


def test_training_graphs_leave_their_twins_behind(tmp_path: Path) -> None:
    learns = replace(ALONE, alignment=Alignment.Config(queue=8, ramp=3))
    judges = {name: DistilledJudge.Config(student=GRAPHS[name], ramp=3) for name in ("ve", "nlvr2")}
    answers = DistilledAnswerer.Config(answerer=VQA, ramp=3)
    trained = {"pretrain": MaskedFusion.Config(fusion=learns), "vqa": answers, **judges}
    for name, config in trained.items():
        assert chiasm.load(exported(config, tmp_path / name)[1]).config == GRAPHS[name]


def test_momentum_and_queues_stay_behind(tmp_path: Path) -> None:
    path = exported(ALONE, tmp_path)[1]
    held = torch.load(path, weights_only=True)["model"]
    gone = {name.replace(".", "_m.", 1): value + 1 for name, value in held.items() if "." in name and "itm" not in name}
    queues = {"image_queue": torch.randn(12, 8), "text_queue": torch.randn(12, 8), "idx_queue": torch.zeros(1, 8)}
    torch.save({"model": held | gone | queues | {"ptr_queue": torch.zeros(1)}}, path)
    assert chiasm.load(path).config == ALONE


def test_text_assignment_has_no_published_form(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"format 'lavis' has no class for albef's Judge"):
        exported(replace(NLVR2, labels=ASSIGNED), tmp_path)
