"""The sound encoder agrees with transformers' WavLM where they are the same, and with loops where they are not."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import WavLMConfig
from transformers.models.wavlm.modeling_wavlm import WavLMEncoder

from chiasm.core.config import from_json, to_json
from chiasm.nn.beats import BEATs, GatedAttention
from chiasm.nn.spectrogram import Spectrogram

CFG = BEATs.Config(
    sound=Spectrogram(rate=800, mels=8, frame=20, hop=8), dim=24, depth=2, heads=3, patch=4, stem=6, kernel=6, groups=4,
    buckets=16, reach=20,
)  # fmt: skip


def _moved(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))


@pytest.fixture
def theirs() -> WavLMEncoder:
    torch.manual_seed(0)
    encoder = WavLMEncoder(
        WavLMConfig(
            hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3, num_buckets=16,
            max_bucket_distance=20, num_conv_pos_embeddings=6, num_conv_pos_embedding_groups=4,
        )
    ).eval()  # fmt: skip
    _moved(encoder)
    with torch.no_grad():  # with queries that are the states themselves, gates of both read the same
        for layer in encoder.layers:
            layer.attention.q_proj.weight.copy_(torch.eye(24))
            layer.attention.q_proj.bias.zero_()
    return encoder


def _copied(encoder: WavLMEncoder) -> BEATs:
    """Ours with their weights, and their residual of 1 in place of DeepNorm's."""
    ours, state = CFG.build().eval(), encoder.state_dict()
    mine = {"distances.bias.weight": state["layers.0.attention.rel_attn_embed.weight"]}
    names = {"near.conv": "pos_conv_embed.conv", "norm": "layer_norm"}
    for i in range(2):
        us, them = f"layers.{i}", f"layers.{i}"
        names |= {f"{us}.attend.f.{part}": f"{them}.attention.{part}_proj" for part in ("q", "k", "v", "out")}
        names |= {
            f"{us}.attend.f.gate": f"{them}.attention.gru_rel_pos_linear", f"{us}.attend.norm": f"{them}.layer_norm",
            f"{us}.mlp.f.up": f"{them}.feed_forward.intermediate_dense",
            f"{us}.mlp.f.down": f"{them}.feed_forward.output_dense", f"{us}.mlp.norm": f"{them}.final_layer_norm",
        }  # fmt: skip
        mine[f"{us}.attend.f.scale"] = state[f"{them}.attention.gru_rel_pos_const"]
    for name, other in names.items():
        mine |= {key.replace(other, name): value for key, value in state.items() if key.startswith(f"{other}.")}
    own = {key: value for key, value in ours.state_dict().items() if key.startswith(("stem", "enter"))}
    ours.load_state_dict(mine | own)
    for layer in ours.layers:
        layer.attend.residual = layer.mlp.residual = 1.0
    return ours


@torch.no_grad()
def test_states_agree_with_transformers(theirs: WavLMEncoder) -> None:
    """From the patches on; their number makes distances that share buckets."""
    ours, frames = _copied(theirs), torch.randn(2, 60, 8)
    patches = ours.stem(frames[:, None]).flatten(2).transpose(1, 2)
    expected = theirs(ours.enter(ours.stem_norm(patches))).last_hidden_state
    torch.testing.assert_close(ours.see(frames), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_gates_read_the_query() -> None:
    """Head by head and token by token, with queries that are not the states."""
    torch.manual_seed(0)
    part = GatedAttention(6, 2, dropout=0.0).eval()
    _moved(part)
    x, bias = torch.randn(1, 5, 6), torch.randn(1, 2, 5, 5)
    q, k, v = part.q(x)[0], part.k(x)[0], part.v(x)[0]
    read = torch.empty(5, 6)
    for head, columns in enumerate((slice(0, 3), slice(3, 6))):
        for i in range(5):
            terms = part.gate.weight @ q[i, columns] + part.gate.bias
            outer, inner = torch.sigmoid(terms[:4].sum()), torch.sigmoid(terms[4:].sum())
            gated = bias[0, head, i] * (1 + outer * inner * part.scale[0, head, 0, 0] + 1 - outer)
            scores = (q[i, columns] @ k[:, columns].T) / math.sqrt(3) + gated
            read[i, columns] = scores.softmax(-1) @ v[:, columns]
    torch.testing.assert_close(part(x, bias)[0], part.out(read), rtol=1e-4, atol=1e-5)


def test_the_stream_weighs_as_deepnorm_says() -> None:
    model = CFG.build().eval()
    (layer, _), x, bias = model.layers, torch.randn(1, 5, 24), torch.randn(1, 3, 5, 5)
    alpha = (2 * CFG.depth) ** 0.25
    expected = F.layer_norm(alpha * x + layer.attend.f(x, bias), (24,))
    torch.testing.assert_close(layer.attend(x, bias), expected)
    assert BEATs.Config().residual == pytest.approx(24**0.25)


def test_patches_stand_in_the_order_of_time_and_then_of_pitch() -> None:
    model = CFG.build().eval()
    frames = torch.randn(1, 8, 8)
    by_hand = torch.stack([
        (model.stem.weight[:, 0] * frames[0, t : t + 4, m : m + 4]).sum((1, 2)) for t in (0, 4) for m in (0, 4)
    ])  # fmt: skip
    seen = dict[str, Tensor]()
    model.stem_norm.register_forward_pre_hook(lambda _, given: seen.update(patches=given[0]))
    model.see(frames)
    torch.testing.assert_close(seen["patches"][0], by_hand)


@torch.no_grad()
def test_a_sound_is_its_spectrogram() -> None:
    model, sound = CFG.build().eval(), torch.randn(2, 200)
    states = model(sound)
    assert states.shape == (2, CFG.tokens(200), CFG.dim)
    assert torch.equal(states, model.see(CFG.sound(sound)))
    torch.testing.assert_close(model(sound[1:]), states[1:])


def test_published_sizes() -> None:
    """Five seconds are 256 tokens; 90 million parameters, as the paper says."""
    cfg = BEATs.Config()
    assert cfg.tokens(cfg.sound.samples(512)) == 256
    with torch.device("meta"):
        model = cfg.build()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == 90


def test_configs_are_kept_and_checked() -> None:
    assert from_json(to_json(CFG)) == CFG
    with pytest.raises(ValueError, match="8 mel bands do not divide into patches of 3"):
        replace(CFG, patch=3)
    with pytest.raises(ValueError, match="spectrograms of 3 frames for patches of 4"):
        CFG.build().see(torch.zeros(1, 3, 8))
