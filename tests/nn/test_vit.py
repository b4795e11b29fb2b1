"""The vision transformer agrees with `transformers`' BLIP tower on random weights."""

import pytest
import torch
from transformers import BlipVisionConfig, BlipVisionModel, CLIPVisionConfig, CLIPVisionModel

from chiasm.nn.vit import ConvStem, NormedStem, PatchStem, ViT

CFG = ViT.Config(dim=24, depth=3, heads=3, image=20, stem=PatchStem(patch=5))


def _copied(theirs: BlipVisionModel) -> ViT:
    """Ours with their weights, written out by hand: the oracle's names, not our loader's."""
    ours, state = CFG.build().eval(), theirs.state_dict()
    mine = {
        "first": state["embeddings.class_embedding"],
        "position": state["embeddings.position_embedding"],
        "stem.weight": state["embeddings.patch_embedding.weight"],
        "stem.bias": state["embeddings.patch_embedding.bias"],
        "norm.weight": state["post_layernorm.weight"],
        "norm.bias": state["post_layernorm.bias"],
    }
    for i in range(CFG.depth):
        us, them = f"layers.{i}.", f"encoder.layers.{i}."
        for kind in ("weight", "bias"):
            q, k, v = state[f"{them}self_attn.qkv.{kind}"].chunk(3)
            mine |= {f"{us}attend.q.{kind}": q, f"{us}attend.k.{kind}": k, f"{us}attend.v.{kind}": v}
            mine[f"{us}attend.out.{kind}"] = state[f"{them}self_attn.projection.{kind}"]
            mine[f"{us}attend_norm.{kind}"] = state[f"{them}layer_norm1.{kind}"]
            mine[f"{us}mlp_norm.{kind}"] = state[f"{them}layer_norm2.{kind}"]
            mine[f"{us}mlp.up.{kind}"] = state[f"{them}mlp.fc1.{kind}"]
            mine[f"{us}mlp.down.{kind}"] = state[f"{them}mlp.fc2.{kind}"]
    ours.load_state_dict(mine)
    return ours


@torch.inference_mode()
def test_states_agree_with_transformers() -> None:
    torch.manual_seed(0)
    theirs = BlipVisionModel(
        BlipVisionConfig(
            hidden_size=24,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=3,
            image_size=20,
            patch_size=5,
            layer_norm_eps=1e-6,
        )
    ).eval()
    for weight in theirs.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    images = torch.randn(2, 3, 20, 20)
    torch.testing.assert_close(_copied(theirs)(images), theirs(images).last_hidden_state, rtol=1e-4, atol=1e-5)


def test_a_stem_of_convolutions_has_the_same_patches() -> None:
    stem = ConvStem(widths=(4, 8))
    model = ViT.Config(dim=24, depth=1, heads=3, image=20, stem=stem).build()
    assert stem.patch == 4
    assert model(torch.randn(2, 3, 20, 20)).shape == (2, 1 + 25, 24)


@torch.inference_mode()
@pytest.mark.parametrize("clip", [False, True])
def test_positions_for_another_size_agree_with_transformers(*, clip: bool) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 3, "num_hidden_layers": 1, "image_size": 20, "patch_size": 5}
    if clip:
        embeddings, stem = CLIPVisionModel(CLIPVisionConfig(**sizes)).embeddings, NormedStem(patch=5)
        position = embeddings.position_embedding.weight[None]
    else:
        embeddings, stem = BlipVisionModel(BlipVisionConfig(**sizes)).embeddings, PatchStem(patch=5)
        position = embeddings.position_embedding
    larger = ViT.Config(dim=24, depth=1, heads=3, image=35, stem=stem).build()
    expected = embeddings.interpolate_pos_encoding(torch.empty(1, 1 + 49, 24), 35, 35)
    adapted = larger.adapted("position", position)
    torch.testing.assert_close(adapted, expected)
    assert torch.equal(adapted[:, 0], position[:, 0])
    assert larger.adapted("first", larger.first) is larger.first


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="pictures of \\(16, 20\\) pixels for a model of 20"):
        CFG.build()(torch.randn(1, 3, 16, 20))
    with pytest.raises(ValueError, match="21 pixels do not divide into patches of 5"):
        ViT.Config(dim=24, depth=1, heads=3, image=21, stem=PatchStem(patch=5))


def test_stochastic_depth_leaves_out_whole_rows_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    model = ViT.Config(dim=24, depth=2, heads=3, image=20, stem=PatchStem(patch=5), drop_path=0.5).build()
    path, x = list(model.layers)[1].drop_path, torch.ones(4000, 1, 2)
    dropped = path(x)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropped[..., 0], dropped[..., 1])
    assert abs(float(dropped.mean()) - 1.0) < 0.1
    assert path.eval()(x) is x
