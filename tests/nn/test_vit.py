"""The vision transformer agrees with `transformers`' BLIP tower on random weights."""

import pytest
import torch
from transformers import (
    Blip2VisionConfig,
    Blip2VisionModel,
    BlipVisionConfig,
    BlipVisionModel,
    CLIPVisionConfig,
    CLIPVisionModel,
)

from chiasm.nn.vit import Bare, ConvStem, NormedStem, PatchStem, ViT, clip_l14, eva_g14

CFG = ViT.Config(dim=24, depth=3, heads=3, image=20, stem=PatchStem(patch=5))


def _copied(theirs: BlipVisionModel | Blip2VisionModel, cfg: ViT.Config) -> ViT:
    """Ours with their weights, written out by hand: the oracle's names, not our loader's."""
    ours, state = cfg.build().eval(), theirs.state_dict()
    mine = {
        "first": state["embeddings.class_embedding"],
        "position": state["embeddings.position_embedding"],
        "stem.weight": state["embeddings.patch_embedding.weight"],
        "stem.bias": state["embeddings.patch_embedding.bias"],
    }
    if not isinstance(cfg.end, Bare):
        mine |= {f"norm.{kind}": state[f"post_layernorm.{kind}"] for kind in ("weight", "bias")}
    for i in range(cfg.depth):
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
    expected = theirs(images).last_hidden_state
    torch.testing.assert_close(_copied(theirs, CFG)(images), expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_bare_tower_is_blip_2_s_before_the_norm_of_its_reader() -> None:
    """Heads of 11, an MLP that is no multiple of the stream, and a norm afterwards that is not the tower's."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 22, "intermediate_size": 35, "num_attention_heads": 2, "num_hidden_layers": 3}
    theirs = Blip2VisionModel(Blip2VisionConfig(**sizes, image_size=20, patch_size=5)).eval()
    for weight in theirs.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    cfg = ViT.Config(dim=22, depth=3, heads=2, image=20, stem=PatchStem(patch=5), expansion=35 / 22, end=Bare())
    ours, images = _copied(theirs, cfg), torch.randn(2, 3, 20, 20)
    seen, expected = ours(images), theirs(images).last_hidden_state
    torch.testing.assert_close(theirs.post_layernorm(seen), expected, rtol=1e-4, atol=1e-5)
    assert not [name for name in ours.state_dict() if name.startswith("norm.")]
    for layer in ours.layers:  # a bias of the keys, which the published towers do not have, changes nothing
        layer.attend.k.bias.add_(torch.randn(22))
    torch.testing.assert_close(ours(images), seen, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("cfg", "millions"), [(eva_g14(), 985.9), (clip_l14(), 290.6)])
def test_towers_of_blip_2_have_the_published_sizes(cfg: ViT.Config, millions: float) -> None:
    """As LAVIS counts them: no bias on the keys of EVA's; all tokens are read, 257 at 224 pixels."""
    with torch.device("meta"):
        model = cfg.build()
    count = sum(weight.numel() for weight in model.parameters())
    own = cfg.depth * cfg.dim if isinstance(cfg.stem, PatchStem) else 0
    assert (count - own) / 1e6 == pytest.approx(millions, abs=0.1)
    assert model.position.shape[1] == 257


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
