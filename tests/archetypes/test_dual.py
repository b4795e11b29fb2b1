"""The dual encoder agrees with `transformers`' CLIP on random weights, with a slow loop, and with two ranks of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from chiasm.archetypes.dual import DualEncoder
from chiasm.core.types import Markers, Text
from chiasm.nn.mlp import Activation
from chiasm.nn.texttower import TextTower
from chiasm.nn.vit import NormedStem, ViT

from . import dual_alone as alone

SCRIPT = Path(__file__).with_name("dual_alone.py")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
END = 98  # the highest id, as in OpenAI's vocabulary
TOWERS = {"vision": "vision_model", "text": "text_model"}
LAYER = {
    "attend.q": "self_attn.q_proj",
    "attend.k": "self_attn.k_proj",
    "attend.v": "self_attn.v_proj",
    "attend.out": "self_attn.out_proj",
    "attend_norm": "layer_norm1",
    "mlp_norm": "layer_norm2",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
}


def _theirs(activation: str) -> CLIPModel:
    """Odd sizes; weights far from their start, biases and norms too."""
    shared = {"num_hidden_layers": 3, "hidden_act": activation, "projection_dim": 10}
    vision = {"hidden_size": 24, "intermediate_size": 56, "num_attention_heads": 3, "image_size": 20, "patch_size": 5}
    text = {"hidden_size": 18, "intermediate_size": 72, "num_attention_heads": 2, "vocab_size": END + 1}
    config = CLIPConfig(
        vision_config=shared | vision,
        text_config=shared | text | {"max_position_embeddings": 11, "eos_token_id": END},
        projection_dim=10,
    )
    torch.manual_seed(0)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


def _ours(theirs: CLIPModel, activation: Activation) -> DualEncoder:
    """Their weights under our names, by a table of this test's own."""
    stem = NormedStem(patch=5)
    vision = ViT.Config(
        dim=24, depth=3, heads=3, image=20, stem=stem, expansion=56 / 24, activation=activation, eps=1e-5
    )
    text = TextTower.Config(vocab=END + 1, dim=18, depth=3, heads=2, max_len=11, activation=activation)
    model, state = DualEncoder.Config(vision=vision, text=text, embed=10).build().eval(), theirs.state_dict()
    mine: dict[str, Tensor] = {
        "log_scale": state["logit_scale"],
        "image_head.weight": state["visual_projection.weight"],
        "text_head.weight": state["text_projection.weight"],
        "vision.first": state["vision_model.embeddings.class_embedding"][None, None],
        "vision.position": state["vision_model.embeddings.position_embedding.weight"][None],
        "vision.stem.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "text.word.weight": state["text_model.embeddings.token_embedding.weight"],
        "text.position": state["text_model.embeddings.position_embedding.weight"],
    }
    norms = {
        "vision.enter": "vision_model.pre_layrnorm",
        "vision.norm": "vision_model.post_layernorm",
        "text.norm": "text_model.final_layer_norm",
    }
    layers = {
        f"{us}.layers.{i}.{part}": f"{them}.encoder.layers.{i}.{name}"
        for us, them in TOWERS.items()
        for i in range(3)
        for part, name in LAYER.items()
    }
    for us, them in (norms | layers).items():
        mine |= {f"{us}.{kind}": state[f"{them}.{kind}"] for kind in ("weight", "bias")}
    model.load_state_dict(mine)
    return model


def _texts(*, pad: int = 0) -> Text:
    rng = torch.Generator().manual_seed(1)
    ids, lengths = torch.randint(1, END, (5, 11), generator=rng), torch.tensor([11, 4, 2, 9, 6])
    mask = torch.arange(11)[None] < lengths[:, None]
    ids[torch.arange(5), lengths - 1] = END
    return Text(ids.masked_fill(~mask, pad), mask)


@torch.inference_mode()
@pytest.mark.parametrize(("ours", "theirs"), [(Activation.GELU, "gelu"), (Activation.QUICK_GELU, "quick_gelu")])
@pytest.mark.parametrize("pad", [0, END])
def test_features_logits_and_loss_agree_with_transformers(ours: Activation, theirs: str, pad: int) -> None:
    them = _theirs(theirs)
    us, text, images = _ours(them, ours), _texts(pad=pad), torch.randn(5, 3, 20, 20)
    told = them(input_ids=text.ids, attention_mask=text.mask.long(), pixel_values=images, return_loss=True)
    image, words = us.embed_seen(us.see(images)), us.embed_text(text)
    torch.testing.assert_close(image, told.image_embeds, **CLOSE)
    torch.testing.assert_close(words, told.text_embeds, **CLOSE)
    torch.testing.assert_close(image @ words.T / us.temperature, told.logits_per_image, **CLOSE)
    states = told.text_model_output.last_hidden_state
    torch.testing.assert_close(us.read(text)[text.mask], states[text.mask], **CLOSE)
    batch = replace(alone.batch(), images=images, text=text, identity=torch.arange(5))
    torch.testing.assert_close(us(batch)["contrast"], told.loss, **CLOSE)


def test_contrast_is_two_loops_and_equal_meanings_share() -> None:
    model, batch = alone.model(), alone.batch()
    with torch.no_grad():
        image, text = model.embed_seen(model.see(batch.images)), model.embed_text(batch.text)
    whose, total = batch.identity.tolist(), 0.0
    for ours, theirs in ((image, text), (text, image)):
        for i in range(6):
            scores = [float(ours[i] @ other) / 0.07 for other in theirs]
            log_sum = math.log(sum(math.exp(score) for score in scores))
            right = [j for j in range(6) if whose[j] == whose[i]]
            total -= sum(scores[j] - log_sum for j in right) / len(right)
    assert float(model(batch)["contrast"].detach()) == pytest.approx(total / 12, rel=1e-4)


def test_two_ranks_are_one_with_a_batch_twice_as_large(on_two_ranks: Callable[[Path], list[Any]]) -> None:
    both, model = on_two_ranks(SCRIPT), alone.model()
    loss = model(alone.batch())["contrast"]
    loss.backward()
    torch.testing.assert_close(sum(told["loss"] for told in both) / 2, loss.detach())
    for name, weight in model.named_parameters():
        averaged = sum(told["gradients"][name] for told in both) / 2
        told = f"gradients of {name} differ by {(averaged - weight.grad).abs().max()}"
        torch.testing.assert_close(averaged, weight.grad, rtol=1e-4, atol=1e-5, msg=told)


def test_the_scale_is_capped_at_a_hundred_and_can_come_down_again() -> None:
    model = alone.model()
    assert float(model.temperature.detach()) == pytest.approx(0.07)
    with torch.no_grad():
        model.log_scale.fill_(7.0)
    assert float(model.temperature.detach()) == pytest.approx(0.01)
    model(alone.batch())["contrast"].backward()
    assert float(model.log_scale.detach()) == pytest.approx(math.log(100))
    assert float(model.log_scale.grad) > 0  # untrained, a hundred is far too sure


def test_another_vocabulary_fits() -> None:
    fitted = alone.CFG.fitted(50, Markers(pad=0, cls=1, sep=2, mask=3, dec=4, enc=5))
    assert fitted.text.vocab == 50
    assert fitted == replace(alone.CFG, text=replace(alone.CFG.text, vocab=50, end=2))
    assert alone.CFG.worded(50, 49).text.end is None  # the largest id, as in OpenAI's vocabulary
