"""The tables of parts agree with the classes of `transformers`, name by name and number by number, both ways."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

from chiasm.core.dialect import Dialect, mount
from chiasm.nn.bert import Bert, WordHead
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.dialects import bert, vit
from chiasm.weights.translate import translate, untranslate


class _Writer(nn.Module):
    """A decoder and its word head, where the tables expect them."""

    def __init__(self) -> None:
        super().__init__()
        cfg = Bert.Config(vocab=50, image_dim=24, dim=24, depth=2, heads=3, max_len=20)
        self.decoder = cfg.build()
        self.word_head = WordHead(cfg, self.decoder.embed.word)


WRITER = (
    *mount(bert.BERT, theirs="bert.", ours="decoder."),
    *mount(bert.WORD_HEAD, ours="word_head."),
)


def _vision() -> tuple[nn.Module, nn.Module, Dialect]:
    config = BlipVisionConfig(
        hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3, image_size=20, patch_size=5
    )
    ours = ViT.Config(dim=24, depth=2, heads=3, image=20, stem=PatchStem(patch=5)).build()
    return BlipVisionModel(config), ours, vit.TRANSFORMERS


def _text() -> tuple[nn.Module, nn.Module, Dialect]:
    config = BlipTextConfig(
        vocab_size=50, hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3,
        encoder_hidden_size=24, max_position_embeddings=20, is_decoder=True, bos_token_id=1, sep_token_id=2,
    )  # fmt: skip
    return BlipTextLMHeadModel(config), _Writer(), WRITER


@pytest.fixture(params=[_vision, _text])
def case(request: pytest.FixtureRequest) -> tuple[Mapping[str, Tensor], nn.Module, Dialect]:
    torch.manual_seed(0)
    theirs, ours, rules = request.param()
    return theirs.state_dict(), ours, rules


def test_every_name_is_claimed_and_every_weight_is_filled(
    case: tuple[Mapping[str, Tensor], nn.Module, Dialect],
) -> None:
    theirs, ours, rules = case
    read = translate(theirs, rules, source="theirs")
    wanted = dict(ours.named_parameters())
    assert read.keys() == wanted.keys()
    assert all(tensor.shape == wanted[name].shape for name, tensor in read.items())


def test_back_again_is_bit_exact(case: tuple[Mapping[str, Tensor], nn.Module, Dialect]) -> None:
    theirs, _, rules = case
    back = untranslate(translate(theirs, rules, source="theirs"), rules, source="ours")
    assert back.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in back.items())


def test_two_names_for_one_vision_tower() -> None:
    """What timm's table reads and transformers' writes is what the released converter does."""
    theirs, _, rules = _vision()
    ours = translate(theirs.state_dict(), rules, source="theirs")
    timm = untranslate(ours, vit.TIMM, source="ours")
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.attn.qkv.bias", "norm.bias"} <= timm.keys()
    again = translate(timm, vit.TIMM, source="timm")
    assert all(torch.equal(tensor, ours[name]) for name, tensor in again.items())
