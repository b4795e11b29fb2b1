"""Answers against slow plain loops and against `transformers`' BLIP on random weights."""

import copy
import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import BlipConfig, BlipForQuestionAnswering

from chiasm.archetypes.answer import Answerer, Chain, DistilledAnswerer, Opening
from chiasm.core.ability import Answers, Speaks
from chiasm.core.config import from_json, to_json
from chiasm.core.types import Asked, Markers, Text
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Greedy, Limits
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT

MARKERS = Markers(pad=0, cls=1, sep=2, mask=3, dec=4, enc=5)
VISION = ViT.Config(dim=24, depth=2, heads=2, image=8, stem=PatchStem(patch=4), std=0.2)
QUESTION = Bert.Config(vocab=30, image_dim=24, dim=16, depth=2, heads=2, reads=(0, 1), max_len=12, dropout=0.0, std=0.2)
CFG = Answerer.Config(
    vision=VISION, question=QUESTION, answer=replace(QUESTION, image_dim=16, depth=3, reads=(0, 1, 2)), markers=MARKERS
)
# what `transformers` calls the parts of a layer of text, in the order in which names are rewritten
TEXT = (
    (r"embeddings\.word_embeddings", "embed.word"),
    (r"embeddings\.position_embeddings", "embed.position"),
    (r"embeddings\.LayerNorm", "embed.norm"),
    (r"encoder\.layer\.", "layers."),
    (r"crossattention\.self", "read.f"),
    (r"crossattention\.output\.dense", "read.f.out"),
    (r"crossattention\.output\.LayerNorm", "read.norm"),
    (r"attention\.self", "attend.f"),
    (r"attention\.output\.dense", "attend.f.out"),
    (r"attention\.output\.LayerNorm", "attend.norm"),
    (r"f\.query", "f.q"),
    (r"f\.key", "f.k"),
    (r"f\.value", "f.v"),
    (r"intermediate\.dense", "think.f.up"),
    (r"output\.dense", "think.f.down"),
    (r"output\.LayerNorm", "think.norm"),
)


def _texts(rows: int, longest: int, *, seed: int) -> Text:
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, longest + 1, (rows, 1), generator=rng)
    lengths[0] = longest
    mask = torch.arange(longest)[None] < lengths
    ids = torch.randint(6, 30, (rows, longest), generator=rng).masked_fill(~mask, MARKERS.pad)
    ids[:, 0] = MARKERS.cls
    ids[torch.arange(rows), lengths[:, 0] - 1] = MARKERS.sep
    return Text(ids, mask)


def _batch() -> Asked:
    torch.manual_seed(5)
    rows, weights = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0.7, 0.3, 1.0, 0.2, 0.2, 0.6])
    return Asked(torch.randn(3, 3, 8, 8), _texts(3, 7, seed=2), _texts(6, 5, seed=3), rows, weights)


@pytest.fixture
def model() -> Answerer:
    torch.manual_seed(0)
    return CFG.build().eval()


def _logits(model: Answerer, image: Tensor, question: Tensor, words: Tensor) -> Tensor:
    """What comes after each of the `words`, for one picture and one question without padding."""
    chain = model.chain
    present = torch.ones_like(question, dtype=torch.bool)
    states = chain.question.encode(Text(question, present), chain.question.recall(chain.vision(image)))
    written, _ = chain.decoder.decode(words, chain.decoder.blank(chain.decoder.recall(states)))
    return chain.word_head(written)[0]


def _plain(text: Text, row: int, opening: int) -> Tensor:
    ids = text.ids[row][text.mask[row]][None].clone()
    ids[0, 0] = opening
    return ids


@torch.no_grad()
def test_the_loss_is_a_loop_over_unpadded_answers(model: Answerer) -> None:
    batch, total = _batch(), torch.zeros(())
    for i, row in enumerate(batch.rows.tolist()):
        words = _plain(batch.answers, i, MARKERS.dec)
        logs = _logits(model, batch.images[row][None], _plain(batch.question, row, MARKERS.enc), words).log_softmax(1)
        for t, token in enumerate(words[0, 1:].tolist()):
            total -= batch.weights[i] * (0.9 * logs[t, token] + 0.1 * logs[t].mean())
    torch.testing.assert_close(model(batch)["answer"], total / 3, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_question_s_padding_is_never_read(model: Answerer) -> None:
    batch = _batch()
    ids = batch.question.ids.masked_fill(~batch.question.mask, 9)
    other = replace(batch, question=Text(ids, batch.question.mask))
    torch.testing.assert_close(model(other), model(batch))


def _said(chain: Chain, weights: dict[str, Tensor], batch: Asked) -> Tensor:
    """The logits of a copy with other weights."""
    other = copy.deepcopy(chain)
    for name, weight in other.named_parameters():
        weight.copy_(weights[name])
    return other(batch)[0]


@torch.no_grad()
def test_distillation_mixes_what_the_twin_would_say() -> None:
    torch.manual_seed(0)
    cfg = replace(CFG, opening=Opening.CLS, smoothing=0.0, first=2)
    model = DistilledAnswerer.Config(answerer=cfg, momentum=0.9, ramp=2).build()
    first, batch = model(_batch()), _batch()
    torch.testing.assert_close(first, model.answerer(batch), msg="nothing is trusted before the first step")
    weights = dict(model.answerer.chain.named_parameters())
    for weight in weights.values():
        weight.add_(0.05 * torch.randn_like(weight))
    twin = {name: 0.9 * slow + 0.1 * weights[name] for name, slow in model.twin.copy.named_buffers()}
    student, teacher = _said(model.answerer.chain, weights, batch), _said(model.answerer.chain, twin, batch)
    total, place = 0.0, 0
    for i in range(6):
        for token in batch.answers.ids[i][batch.answers.mask[i]][1:].tolist():
            logs, belief = student[place].log_softmax(0), teacher[place].softmax(0)
            total -= batch.weights[i] * (0.8 * logs[token] + 0.2 * (belief * logs).sum())
            place += 1
    torch.testing.assert_close(model(batch)["answer"], total / 3, rtol=1e-4, atol=1e-5)
    assert int(model.forwards) == 2


@torch.no_grad()
def test_albef_opens_by_cls(model: Answerer) -> None:
    torch.manual_seed(0)
    plain, batch = replace(CFG, opening=Opening.CLS).build().eval(), _batch()
    plain.load_state_dict(model.state_dict())
    total = torch.zeros(())
    for i, row in enumerate(batch.rows.tolist()):  # neither [ENC] nor [DEC], and no [SEP] behind a question
        words = _plain(batch.answers, i, MARKERS.cls)
        question = _plain(batch.question, row, MARKERS.cls)[:, :-1]
        logs = _logits(plain, batch.images[row][None], question, words).log_softmax(1)
        for t, token in enumerate(words[0, 1:].tolist()):
            total -= batch.weights[i] * (0.9 * logs[t, token] + 0.1 * logs[t].mean())
    torch.testing.assert_close(plain(batch)["answer"], total / 3, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain(batch)["answer"], model(batch)["answer"], atol=1e-4)


def test_albef_is_a_config() -> None:
    """The question through a BERT whose upper half reads, the answer by a decoder of that half's size."""
    torch.manual_seed(0)
    question = replace(QUESTION, depth=4, reads=(2, 3))
    answerer = replace(CFG, question=question, answer=replace(QUESTION, image_dim=16), opening=Opening.CLS, first=2)
    cfg = DistilledAnswerer.Config(answerer=answerer, ramp=10)
    assert from_json(to_json(cfg)) == cfg
    model = cfg.build()
    assert isinstance(model, Answers)
    assert model.first == 2
    model(_batch())["answer"].backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    assert all("answerer" in name for name, _ in model.named_parameters())


def test_it_answers_and_does_not_speak_about_pictures(model: Answerer) -> None:
    assert isinstance(model, Answers)
    assert not isinstance(model, Speaks)


@torch.no_grad()
def test_many_questions_on_one_picture_equal_a_picture_each(model: Answerer) -> None:
    batch = _batch()
    seen = model.see(batch.images[:1])
    shared, _ = model.ask(seen, batch.question, torch.zeros(3, dtype=torch.long))
    copied, _ = model.ask(seen.expand(3, -1, -1), batch.question, torch.arange(3))
    torch.testing.assert_close(shared, copied, rtol=1e-4, atol=1e-5)
    every, turned = model.see(batch.images), torch.tensor([2, 0, 1])
    states, _ = model.ask(every, batch.question, turned)
    expected, _ = model.ask(every[turned], batch.question, torch.arange(3))
    torch.testing.assert_close(states, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(states, model.ask(every, batch.question, torch.arange(3))[0], atol=1e-3)


ALIKE = replace(QUESTION, dim=24)  # there all three networks are of one width


@pytest.fixture(scope="module")
def theirs() -> BlipForQuestionAnswering:
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {"bos_token_id": 4, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0, "vocab_size": 30}
    text = {**sizes, **tokens, "encoder_hidden_size": 24, "max_position_embeddings": 12, "label_smoothing": 0.1}
    vision = {**sizes, "image_size": 8, "patch_size": 4, "layer_norm_eps": 1e-6}
    model = BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.15 * torch.randn_like(weight))
    return model


def _seen(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The vision tower's weights under our names."""
    mine = dict[str, Tensor]()
    names = {"class_embedding": "first", "position_embedding": "position", "patch_embedding": "stem"}
    parts = {"self_attn.projection": "attend.out", "layer_norm1": "attend_norm", "layer_norm2": "mlp_norm",
             "mlp.fc1": "mlp.up", "mlp.fc2": "mlp.down", "post_layernorm": "norm", "encoder.": ""}  # fmt: skip
    for name, value in state.items():
        ours = name.removeprefix("embeddings.")
        for them, us in (names | parts).items():
            ours = ours.replace(them, us)
        if "qkv" in ours:
            mine |= {
                ours.replace("self_attn.qkv", f"attend.{x}"): part
                for x, part in zip("qkv", value.chunk(3), strict=True)
            }
        else:
            mine[ours] = value
    return mine


def _read(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A text network's weights under our names."""
    mine = dict[str, Tensor]()
    for name, value in state.items():
        ours = name
        for them, us in TEXT:
            ours = re.sub(rf"(?<![a-z]){them}", us, ours)
        mine[ours] = value
    return mine


@pytest.fixture(scope="module")
def copied(theirs: BlipForQuestionAnswering) -> Answerer:
    """Ours with their weights."""
    ours = replace(CFG, question=ALIKE, answer=ALIKE).build().eval()
    ours.chain.vision.load_state_dict(_seen(theirs.vision_model.state_dict()))
    ours.chain.question.load_state_dict(_read(theirs.text_encoder.state_dict()))
    ours.chain.decoder.load_state_dict(_read(theirs.text_decoder.bert.state_dict()))
    head = theirs.text_decoder.cls.predictions
    ours.chain.word_head.dense.load_state_dict(head.transform.dense.state_dict())
    ours.chain.word_head.norm.load_state_dict(head.transform.LayerNorm.state_dict())
    ours.chain.word_head.bias.data.copy_(head.bias)
    return ours


@torch.no_grad()
def test_states_logits_and_loss_agree_with_transformers(theirs: BlipForQuestionAnswering, copied: Answerer) -> None:
    """Their decoder gets questions without padding: version 5.23 reads that of a mask it is given."""
    batch = _batch()
    question = batch.question.opened_by(MARKERS.enc)
    seen = theirs.vision_model(batch.images).last_hidden_state
    expected = theirs.text_encoder(
        question.ids, attention_mask=question.mask.long(), encoder_hidden_states=seen
    ).last_hidden_state
    states, writer = copied.ask(copied.see(batch.images), batch.question, torch.arange(3))
    torch.testing.assert_close(states[question.mask], expected[question.mask], rtol=1e-4, atol=1e-5)
    answers = torch.randint(6, 30, (3, 5), generator=torch.Generator().manual_seed(0))
    answers[:, 0], answers[:, -1] = MARKERS.dec, MARKERS.sep
    for row in range(3):
        words = expected[row : row + 1, question.mask[row]]
        told = theirs.text_decoder(answers[row : row + 1], encoder_hidden_states=words).logits
        for t in range(5):
            logits, _ = writer.speak(answers[:, : t + 1], writer.recall(states))
            torch.testing.assert_close(logits[row], told[0, t], rtol=1e-4, atol=1e-4)
    text = Text(answers, torch.ones_like(answers, dtype=torch.bool))
    ours = copied(replace(batch, answers=text, rows=torch.arange(3), weights=torch.ones(3)))["answer"]
    losses = [
        theirs(_plain(question, row, MARKERS.enc), batch.images[row][None], labels=answers[row][None]).loss
        for row in range(3)
    ]
    # theirs are means over the four tokens
    torch.testing.assert_close(ours / 4, torch.stack(losses).mean(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_greedy_answers_are_those_of_transformers(theirs: BlipForQuestionAnswering, copied: Answerer) -> None:
    """One question at a time, since theirs reads the padding of a shorter one when it generates."""
    torch.manual_seed(2)
    images, questions, said = torch.randn(6, 3, 8, 8), _texts(6, 8, seed=3), set[tuple[int, ...]]()
    states, writer = copied.ask(copied.see(images), questions, torch.arange(6))
    opening = torch.full((6, 1), MARKERS.dec)
    prompt = Text(opening, torch.ones_like(opening, dtype=torch.bool))
    ours = generate(writer, states, prompt, Greedy(), Limits(6))
    for row in range(6):
        ids = _plain(questions, row, MARKERS.enc)
        spoken = theirs.generate(ids, images[row][None], max_new_tokens=6, do_sample=False)[0, 1:].tolist()
        assert [*ours[row][0].ids] == spoken[: spoken.index(MARKERS.sep)] if MARKERS.sep in spoken else spoken
        said.add(ours[row][0].ids)
    assert len(said) > 2
