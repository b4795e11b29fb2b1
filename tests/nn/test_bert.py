"""BERT's uses agree with `transformers`: BLIP's text model, and halves as in ALBEF; masks mean what they say."""

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BlipTextConfig, BlipTextLMHeadModel

from chiasm.core.config import from_json, to_json
from chiasm.core.types import Text
from chiasm.nn.bert import Bert, WordHead, causal

CFG = Bert.Config(vocab=50, image_dim=20, dim=24, depth=3, heads=3, reads=(0, 1, 2), max_len=16, dropout=0.0)
NAMES = {
    "attention.self.query": "attend.f.q",
    "attention.self.key": "attend.f.k",
    "attention.self.value": "attend.f.v",
    "attention.output.dense": "attend.f.out",
    "attention.output.LayerNorm": "attend.norm",
    "crossattention.self.query": "read.f.q",
    "crossattention.self.key": "read.f.k",
    "crossattention.self.value": "read.f.v",
    "crossattention.output.dense": "read.f.out",
    "crossattention.output.LayerNorm": "read.norm",
    "intermediate.dense": "think.f.up",
    "output.dense": "think.f.down",
    "output.LayerNorm": "think.norm",
}


@pytest.fixture(scope="module")
def theirs() -> BlipTextLMHeadModel:
    torch.manual_seed(0)
    model = BlipTextLMHeadModel(
        BlipTextConfig(
            vocab_size=50,
            hidden_size=24,
            encoder_hidden_size=20,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=3,
            max_position_embeddings=16,
            bos_token_id=1,
            sep_token_id=2,
            pad_token_id=0,
            eos_token_id=2,
            label_smoothing=0.0,
        )
    ).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


@pytest.fixture(scope="module")
def ours(theirs: BlipTextLMHeadModel) -> Bert:
    state, model = theirs.bert.state_dict(), CFG.build().eval()
    mine = {
        "embed.word.weight": state["embeddings.word_embeddings.weight"],
        "embed.position.weight": state["embeddings.position_embeddings.weight"],
    }
    for kind in ("weight", "bias"):
        mine[f"embed.norm.{kind}"] = state[f"embeddings.LayerNorm.{kind}"]
        for i in range(CFG.depth):
            for them, us in NAMES.items():
                mine[f"layers.{i}.{us}.{kind}"] = state[f"encoder.layer.{i}.{them}.{kind}"]
    model.load_state_dict(mine)
    return model


@pytest.fixture(scope="module")
def head(theirs: BlipTextLMHeadModel, ours: Bert) -> WordHead:
    model, state = WordHead(CFG, ours.embed.word), theirs.cls.predictions.state_dict()
    for kind in ("weight", "bias"):
        getattr(model.dense, kind).data.copy_(state[f"transform.dense.{kind}"])
        getattr(model.norm, kind).data.copy_(state[f"transform.LayerNorm.{kind}"])
    model.bias.data.copy_(state["bias"])
    return model


def _text(rows: int = 3) -> Text:
    lengths = torch.tensor([7, 4, 2])[:rows]
    return Text(torch.randint(3, 50, (rows, 7)), torch.arange(7)[None] < lengths[:, None])


def _image(rows: int = 3) -> Tensor:
    return torch.randn(rows, 5, 20)


@torch.inference_mode()
def test_reading_alone_agrees(theirs: BlipTextLMHeadModel, ours: Bert) -> None:
    text = _text()
    expected = theirs.bert(input_ids=text.ids, attention_mask=text.mask.long(), is_decoder=False).last_hidden_state
    states = ours.encode(text)
    torch.testing.assert_close(states[text.mask], expected[text.mask], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_reading_beside_a_picture_agrees(theirs: BlipTextLMHeadModel, ours: Bert) -> None:
    text, image = _text(), _image()
    expected = theirs.bert(
        input_ids=text.ids, attention_mask=text.mask.long(), encoder_hidden_states=image, is_decoder=False
    ).last_hidden_state
    states = ours.encode(text, ours.recall(image))
    torch.testing.assert_close(states[text.mask], expected[text.mask], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(states, ours.encode(text, ours.recall(image.flip(0))), atol=1e-3)


@torch.inference_mode()
def test_writing_agrees_in_logits_and_loss(theirs: BlipTextLMHeadModel, ours: Bert, head: WordHead) -> None:
    text, image = _text(), _image()
    labels = text.ids.masked_fill(~text.mask, -100)
    expected = theirs(input_ids=text.ids, attention_mask=text.mask.long(), encoder_hidden_states=image, labels=labels)
    states, _ = ours.decode(text.ids, ours.blank(ours.recall(image)))
    torch.testing.assert_close(head(states)[text.mask], expected.logits[text.mask], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_first_word_alone_is_the_first_of_all(ours: Bert) -> None:
    text, memory = _text(), ours.recall(_image())
    torch.testing.assert_close(ours.first(text, memory), ours.encode(text, memory)[:, 0])
    torch.testing.assert_close(ours.first(text), ours.encode(text)[:, 0])


@torch.inference_mode()
def test_token_by_token_is_all_at_once(ours: Bert) -> None:
    ids, memory = torch.randint(3, 50, (3, 6)), ours.recall(_image())
    whole, _ = ours.decode(ids, ours.blank(memory))
    cache, steps = ours.blank(memory), []
    for i in range(6):
        state, cache = ours.decode(ids[:, i : i + 1], cache)
        steps.append(state)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_left_padding_changes_nothing(ours: Bert) -> None:
    ids, memory = torch.randint(3, 50, (2, 4)), ours.recall(_image(2))
    alone, _ = ours.decode(ids[1:, 2:], ours.blank(tuple(kv.rows(torch.tensor([1])) for kv in memory)))
    present = torch.tensor([[True] * 4, [False, False, True, True]])
    both, cache = ours.decode(ids, ours.blank(memory), present)
    torch.testing.assert_close(both[1:, 2:], alone, rtol=1e-4, atol=1e-5)
    after, _ = ours.decode(torch.tensor([[9], [9]]), cache)
    again, _ = ours.decode(
        torch.cat([ids[1:, 2:], torch.tensor([[9]])], dim=1),
        ours.blank(tuple(kv.rows(torch.tensor([1])) for kv in memory)),
    )
    torch.testing.assert_close(after[1], again[0, -1:], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_rows_that_share_a_picture_read_it_as_copies_would(ours: Bert) -> None:
    image, ids = _image(2), torch.randint(3, 50, (6, 4))
    shared, state = ours.decode(ids[:, :3], ours.blank(ours.recall(image)))
    copied, _ = ours.decode(ids[:, :3], ours.blank(ours.recall(image.repeat_interleave(3, dim=0))))
    torch.testing.assert_close(shared, copied)
    spread = ours.blank(ours.recall(image)).spread(3)
    assert spread.k == 3
    state = type(state)(state.past, state.image, state.present, k=3).keep(torch.tensor([1]))
    left, _ = ours.decode(ids[3:, 3:], state)
    whole, _ = ours.decode(ids[3:], ours.blank(ours.recall(image[1:])))
    torch.testing.assert_close(left, whole[:, 3:], rtol=1e-4, atol=1e-5)


def test_later_words_cannot_leak_backwards(ours: Bert) -> None:
    memory = ours.recall(_image(1))
    a, _ = ours.decode(torch.tensor([[5, 6, 7, 8]]), ours.blank(memory))
    b, _ = ours.decode(torch.tensor([[5, 6, 7, 9]]), ours.blank(memory))
    torch.testing.assert_close(a[:, :3], b[:, :3])
    assert not torch.allclose(a[:, 3], b[:, 3])


def _drawn(mask: Tensor) -> list[str]:
    return ["".join(".x"[int(seen)] for seen in row) for row in mask[0, 0]]


def test_masks_are_what_they_say() -> None:
    device = torch.device("cpu")
    assert causal(1, 5, None, device) is None
    assert _drawn(causal(3, 0, None, device)) == ["x..", "xx.", "xxx"]
    assert _drawn(causal(2, 2, None, device)) == ["xxx.", "xxxx"]
    padded = torch.tensor([[False, True, True]])
    assert _drawn(causal(3, 0, padded, device)) == ["x..", ".x.", ".xx"]


def test_layers_read_the_picture_by_schedule() -> None:
    model = Bert.Config(vocab=50, image_dim=20, dim=24, depth=4, heads=3, reads=(2, 3), dropout=0.0).build().eval()
    assert [kv is None for kv in model.recall(_image())] == [True, True, False, False]


def test_a_text_longer_than_the_model_is_refused(ours: Bert) -> None:
    with pytest.raises(ValueError, match="a text of 17 tokens for a model of at most 16"):
        ours.encode(Text(torch.ones(1, 17, dtype=torch.long), torch.ones(1, 17, dtype=torch.bool)))


HALVES = Bert.Config(vocab=50, image_dim=24, dim=24, depth=5, heads=3, reads=(2, 3, 4), max_len=16, dropout=0.0)


def _official(depth: int, **kind: bool) -> BertModel:
    config = BertConfig(
        vocab_size=50,
        hidden_size=24,
        intermediate_size=96,
        num_hidden_layers=depth,
        num_attention_heads=3,
        max_position_embeddings=16,
        **kind,
    )
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        model.embeddings.token_type_embeddings.weight.zero_()  # our BERT has none
    return model


@pytest.fixture(scope="module")
def halves() -> tuple[Bert, BertModel, BertModel]:
    """Ours, and two of theirs: a text encoder, and a decoder with cross-attention that looks both ways."""
    torch.manual_seed(0)
    lower, upper, ours = _official(2), _official(3, is_decoder=True, add_cross_attention=True), HALVES.build().eval()
    state = ours.state_dict()
    for kind in ("weight", "bias"):
        state[f"embed.norm.{kind}"] = lower.state_dict()[f"embeddings.LayerNorm.{kind}"]
        for theirs, below in ((lower, 0), (upper, 2)):
            for name, tensor in theirs.encoder.state_dict().items():
                _, number, rest = name.split(".", 2)
                part, _, last = rest.rpartition(".")
                if last == kind:
                    state[f"layers.{below + int(number)}.{NAMES[part]}.{kind}"] = tensor
    for ours_, theirs_ in (("word", "word_embeddings"), ("position", "position_embeddings")):
        state[f"embed.{ours_}.weight"] = lower.state_dict()[f"embeddings.{theirs_}.weight"]
    ours.load_state_dict(state)
    return ours, lower, upper


@torch.inference_mode()
def test_the_lower_half_is_a_text_encoder(halves: tuple[Bert, BertModel, BertModel]) -> None:
    ours, lower, _ = halves
    text = _text()
    expected = lower(input_ids=text.ids, attention_mask=text.mask.long()).last_hidden_state
    torch.testing.assert_close(ours.begin(text)[text.mask], expected[text.mask], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_upper_half_reads_the_picture_both_ways(halves: tuple[Bert, BertModel, BertModel]) -> None:
    ours, _, upper = halves
    text, image = _text(), torch.randn(3, 5, 24)
    begun, memory = ours.begin(text), ours.recall(image)
    everywhere = text.mask[:, None, None].expand(-1, 1, 7, -1)
    expected = upper.encoder(begun, attention_mask=everywhere, encoder_hidden_states=image).last_hidden_state
    states = ours.finish(begun, text.mask, memory)
    torch.testing.assert_close(states[text.mask], expected[text.mask], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.encode(text, memory), states)
    torch.testing.assert_close(ours.finish_first(begun, text.mask, memory), states[:, 0])
    assert not torch.allclose(states, ours.finish(begun, text.mask, ours.recall(image.flip(0))), atol=1e-3)


def test_a_config_of_before_widths_were_said_is_four_times_as_wide() -> None:
    said = {name: value for name, value in to_json(CFG).items() if name not in {"expansion", "activation"}}
    assert from_json(said) == CFG
    assert from_json(said).build().layers[0].think.f.up.weight.shape == (4 * CFG.dim, CFG.dim)
