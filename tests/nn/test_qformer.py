"""The Q-Former's four uses agree with `transformers`, and nobody sees what they must not."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Blip2Config,
    Blip2ForImageTextRetrieval,
    InstructBlipQFormerConfig,
    InstructBlipQFormerModel,
)

from chiasm.core.types import Text
from chiasm.nn.bert import rows_of
from chiasm.nn.qformer import QFormer, Words, _beside_all

CFG = QFormer.Config(
    image_dim=20, text=Words(vocab=50, max_len=16), queries=5, dim=24, depth=3, heads=3, reads=(0, 2), dropout=0.0
)
# theirs in a layer -> ours, where ours is below `layers.{i}` or, for the words' MLP, `text.think.{i}`
LAYER = {
    "attention.attention.query": "layers.{i}.attend.f.q",
    "attention.attention.key": "layers.{i}.attend.f.k",
    "attention.attention.value": "layers.{i}.attend.f.v",
    "attention.output.dense": "layers.{i}.attend.f.out",
    "attention.output.LayerNorm": "layers.{i}.attend.norm",
    "crossattention.attention.query": "layers.{i}.read.f.q",
    "crossattention.attention.key": "layers.{i}.read.f.k",
    "crossattention.attention.value": "layers.{i}.read.f.v",
    "crossattention.output.dense": "layers.{i}.read.f.out",
    "crossattention.output.LayerNorm": "layers.{i}.read.norm",
    "intermediate_query.dense": "layers.{i}.think.f.up",
    "output_query.dense": "layers.{i}.think.f.down",
    "output_query.LayerNorm": "layers.{i}.think.norm",
    "intermediate.dense": "text.think.{i}.f.up",
    "output.dense": "text.think.{i}.f.down",
    "output.LayerNorm": "text.think.{i}.norm",
}
SIZES = {
    "vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 96,
    "max_position_embeddings": 16, "encoder_hidden_size": 20, "cross_attention_frequency": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 4,
    "patch_size": 2,
}  # fmt: skip
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def _shaken(model: Any) -> Any:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model.eval()


@pytest.fixture(scope="module")
def theirs() -> Blip2ForImageTextRetrieval:
    torch.manual_seed(0)
    qformer = SIZES | {"use_qformer_text_input": True}
    return _shaken(
        Blip2ForImageTextRetrieval(
            Blip2Config(vision_config=VISION, qformer_config=qformer, num_query_tokens=5, image_text_hidden_size=7)
        )
    )


def _copied(model: QFormer, given: dict[str, Tensor], layers: nn.Module) -> QFormer:
    """Ours with weights of theirs, named by hand."""
    mine = {name: value for name, value in given.items() if name in model.state_dict()}
    for name, value in layers.state_dict().items():
        _, number, rest = name.split(".", 2)
        part, _, kind = rest.rpartition(".")
        mine[f"{LAYER[part].format(i=number)}.{kind}"] = value
    model.load_state_dict({name: value for name, value in mine.items() if model.text or not name.startswith("text.")})
    return model.eval()


@pytest.fixture(scope="module")
def ours(theirs: Blip2ForImageTextRetrieval) -> QFormer:
    state = theirs.state_dict()
    embeddings = {
        "queries": state["query_tokens"],
        "text.word.weight": state["embeddings.word_embeddings.weight"],
        "text.position.weight": state["embeddings.position_embeddings.weight"],
        "norm.weight": state["qformer.layernorm.weight"],
        "norm.bias": state["qformer.layernorm.bias"],
    }
    return _copied(CFG.build(), embeddings, theirs.qformer.encoder)


def _text(rows: int = 3) -> Text:
    lengths = torch.tensor([7, 4, 2])[torch.arange(rows) % 3]
    return Text(torch.randint(3, 50, (rows, 7)), torch.arange(7)[None] < lengths[:, None])


def _image(rows: int = 3) -> Tensor:
    return torch.randn(rows, 6, 20)


@torch.inference_mode()
def test_queries_alone_agree(theirs: Blip2ForImageTextRetrieval, ours: QFormer) -> None:
    image = _image()
    expected = theirs.qformer(query_embeds=theirs.query_tokens.expand(3, -1, -1), encoder_hidden_states=image)
    states = ours.look(ours.recall(image)).states
    torch.testing.assert_close(states, expected.last_hidden_state, **CLOSE)
    assert not torch.allclose(states, ours.look(ours.recall(image.flip(0))).states, atol=1e-3)


@torch.inference_mode()
def test_text_alone_agrees(theirs: Blip2ForImageTextRetrieval, ours: QFormer) -> None:
    text = _text()
    embedded = theirs.embeddings(input_ids=text.ids)
    expected = theirs.qformer(query_embeds=embedded, query_length=0, attention_mask=text.mask.long())
    states = ours.read(text)
    torch.testing.assert_close(states[text.mask], expected.last_hidden_state[text.mask], **CLOSE)
    torch.testing.assert_close(ours.first(text), states[:, 0])


@torch.inference_mode()
def test_both_together_agree(theirs: Blip2ForImageTextRetrieval, ours: QFormer) -> None:
    image, text = _image(), _text()
    embedded = theirs.embeddings(input_ids=text.ids, query_embeds=theirs.query_tokens.expand(3, -1, -1))
    present = torch.cat([torch.ones(3, 5, dtype=torch.long), text.mask.long()], dim=1)
    expected = theirs.qformer(
        query_embeds=embedded, query_length=5, attention_mask=present, encoder_hidden_states=image
    )
    states = ours.together(ours.recall(image), text)
    torch.testing.assert_close(states, expected.last_hidden_state[:, :5], **CLOSE)
    other = Text(text.ids.where(text.mask, 9), text.mask)
    torch.testing.assert_close(ours.together(ours.recall(image), other), states)
    assert not torch.allclose(ours.together(ours.recall(image), text[torch.tensor([1, 2, 0])]), states, atol=1e-3)


@torch.inference_mode()
def test_instructblip_reads_instructions_so() -> None:
    torch.manual_seed(0)
    theirs = _shaken(InstructBlipQFormerModel(InstructBlipQFormerConfig(**SIZES)))
    state, queries = theirs.state_dict(), torch.randn(1, 5, 24)
    embeddings = {
        "queries": queries,
        "text.word.weight": state["embeddings.word_embeddings.weight"],
        "text.position.weight": state["embeddings.position_embeddings.weight"],
        "norm.weight": state["embeddings.layernorm.weight"],
        "norm.bias": state["embeddings.layernorm.bias"],
    }
    ours = _copied(CFG.build(), embeddings, theirs.encoder)
    image, text = _image(), _text()
    seen = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] * 5 + [False]])
    expected = theirs(
        input_ids=text.ids,
        attention_mask=torch.cat([torch.ones(3, 5, dtype=torch.long), text.mask.long()], dim=1),
        query_embeds=queries.expand(3, -1, -1),
        encoder_hidden_states=image,
        encoder_attention_mask=seen.long(),
    )
    states = ours.together(ours.recall(image, seen), text)
    torch.testing.assert_close(states, expected.last_hidden_state[:, :5], **CLOSE)


@torch.inference_mode()
def test_without_words_the_queries_are_the_same(theirs: Blip2ForImageTextRetrieval, ours: QFormer) -> None:
    mute, image = replace(CFG, text=None).build(), _image()
    _copied(mute, dict(ours.state_dict()), theirs.qformer.encoder)
    assert torch.equal(mute.look(mute.recall(image)).states, ours.look(ours.recall(image)).states)
    with pytest.raises(ValueError, match="reads pictures only"):
        mute.read(_text())
    assert mute.state_dict().keys() == {name for name in ours.state_dict() if not name.startswith("text.")}


APART = [  # contrast
    "xxxxx....",  # queries see queries
    "xxxxx....",
    "xxxxx....",
    "xxxxx....",
    "xxxxx....",
    ".....xxx.",  # words see words, and nobody the padding at the end
    ".....xxx.",
    ".....xxx.",
    ".....xxx.",
]
TOGETHER = ["xxxxxxxx."] * 9  # match, instruct: everyone sees everyone
WRITTEN = [  # generate
    *APART[:5],
    "xxxxxx...",  # words see all queries, themselves and earlier words
    "xxxxxxx..",
    "xxxxxxxx.",
    "xxxxxxxxx",
]


def _slowly(model: QFormer, image: Tensor, ids: Tensor, drawn: list[str]) -> Tensor:
    """Queries and words in one row, under the drawn mask, every layer as in figure 2 of the paper."""
    assert model.text is not None
    count, positions = model.queries.shape[1], torch.arange(ids.shape[1])[None]
    x = torch.cat([model.queries.expand(len(ids), -1, -1), model.text(ids, positions)], dim=1)
    x = model.norm(x)
    mask = torch.tensor([[seen == "x" for seen in row] for row in drawn])[None, None]
    for layer, think, image_kv in zip(model.layers, model.text.think, model.recall(image), strict=True):
        x = layer.attend(x, layer.attend.f.remember(x), mask)
        queries = x[:, :count]
        if image_kv is not None:
            queries = layer.read(queries, image_kv)
        x = torch.cat([layer.think(queries), think(x[:, count:])], dim=1)
    return x


@torch.inference_mode()
def test_each_use_is_one_pass_under_a_drawn_mask(ours: QFormer) -> None:
    image, ids = _image(), torch.randint(3, 50, (3, 4))
    memory, text = ours.recall(image), Text(ids, torch.tensor([[True, True, True, False]] * 3))
    looked, apart = ours.look(memory), _slowly(ours, image, ids, APART)
    torch.testing.assert_close(looked.states, apart[:, :5], **CLOSE)
    torch.testing.assert_close(ours.read(text)[:, :3], apart[:, 5:8], **CLOSE)
    together = _slowly(ours, image, ids, TOGETHER)
    torch.testing.assert_close(ours.together(memory, text), together[:, :5], **CLOSE)
    states, _ = ours.decode(ids, ours.blank(looked.known))
    torch.testing.assert_close(states, _slowly(ours, image, ids, WRITTEN)[:, 5:], **CLOSE)


def test_words_that_are_new_see_all_queries() -> None:
    drawn = torch.tensor([[[[True, False], [True, True]]]])
    seen = _beside_all(drawn, 3)
    assert seen is not None
    assert seen[0, 0].tolist() == [[True] * 4 + [False], [True] * 5]
    assert _beside_all(None, 3) is None


@torch.inference_mode()
def test_token_by_token_is_all_at_once(ours: QFormer) -> None:
    ids, known = torch.randint(3, 50, (3, 6)), ours.look(ours.recall(_image())).known
    whole, _ = ours.decode(ids, ours.blank(known))
    cache, steps = ours.blank(known), []
    for i in range(6):
        state, cache = ours.decode(ids[:, i : i + 1], cache)
        steps.append(state)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, **CLOSE)


@torch.inference_mode()
def test_left_padding_changes_nothing(ours: QFormer) -> None:
    ids, known = torch.randint(3, 50, (2, 4)), ours.look(ours.recall(_image(2))).known
    alone, _ = ours.decode(ids[1:, 2:], ours.blank(rows_of(known, torch.tensor([1]))))
    present = torch.tensor([[True] * 4, [False, False, True, True]])
    both, cache = ours.decode(ids, ours.blank(known), present)
    torch.testing.assert_close(both[1:, 2:], alone, **CLOSE)
    after, _ = ours.decode(torch.tensor([[9], [9]]), cache)
    again, _ = ours.decode(
        torch.cat([ids[1:, 2:], torch.tensor([[9]])], dim=1), ours.blank(rows_of(known, torch.tensor([1])))
    )
    torch.testing.assert_close(after[1], again[0, -1:], **CLOSE)


@torch.inference_mode()
def test_rows_that_share_a_picture_are_as_with_copies(ours: QFormer) -> None:
    image, text = _image(2), _text(6)
    shared, copied = ours.recall(image), ours.recall(image.repeat_interleave(3, dim=0))
    torch.testing.assert_close(ours.together(shared, text), ours.together(copied, text), **CLOSE)
    torch.testing.assert_close(rows_of(shared, torch.arange(6) // 3)[0], copied[0])
    beams = ours.blank(ours.look(shared).known).spread(3)
    wide, state = ours.decode(text.ids[:, :3], beams)
    deep, _ = ours.decode(text.ids[:, :3], ours.blank(ours.look(copied).known))
    torch.testing.assert_close(wide, deep, **CLOSE)
    left, _ = ours.decode(text.ids[3:, 3:], state.keep(torch.tensor([1])))
    whole, _ = ours.decode(text.ids[3:], ours.blank(ours.look(ours.recall(image[1:])).known).spread(3))
    torch.testing.assert_close(left, whole[:, 3:], **CLOSE)


def test_later_words_and_queries_cannot_leak(ours: QFormer) -> None:
    known = ours.look(ours.recall(_image(1))).known
    one, _ = ours.decode(torch.tensor([[5, 6, 7, 8]]), ours.blank(known))
    other, _ = ours.decode(torch.tensor([[5, 6, 7, 9]]), ours.blank(known))
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3], other[:, 3])


def test_only_the_first_of_every_two_layers_reads(ours: QFormer) -> None:
    assert [kv is None for kv in ours.recall(_image())] == [False, True, False]
    assert QFormer.Config(image_dim=1, text=None).reads == (0, 2, 4, 6, 8, 10)


def test_queries_have_no_positions_and_think_as_words_do_at_first() -> None:
    """They pass the norm of the embeddings; their MLPs are copies that learn apart."""
    torch.manual_seed(0)
    model = QFormer.Config(
        image_dim=20, text=Words(vocab=50), queries=400, dim=24, depth=2, heads=3, reads=(0,)
    ).build()
    assert model.text is not None
    assert abs(float(model.queries.detach().std()) - 0.02) < 0.002
    for layer, think in zip(model.layers, model.text.think, strict=True):
        for mine, words in zip(layer.think.parameters(), think.parameters(), strict=True):
            assert torch.equal(mine, words)
            assert mine is not words
    model.eval()
    torch.testing.assert_close(model._asked(1), model.norm(model.queries))


def test_a_text_longer_than_the_model_is_refused(ours: QFormer) -> None:
    long = Text(torch.ones(1, 17, dtype=torch.long), torch.ones(1, 17, dtype=torch.bool))
    with pytest.raises(ValueError, match="a text of 17 tokens for a model of at most 16"):
        ours.read(long)
