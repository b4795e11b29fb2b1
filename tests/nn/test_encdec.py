"""T5 against transformers' on random weights: states, logits, losses, and what it says."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5Config, T5ForConditionalGeneration

from chiasm.core.config import from_json, to_json
from chiasm.core.types import Text
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Greedy, Limits
from chiasm.layouts import t5
from chiasm.nn import encdec
from chiasm.nn.cache import Cache
from chiasm.nn.encdec import EncDecLM, Gated, OwnHead, Plain, SharedHead
from chiasm.nn.language import Language, LanguageConfig
from chiasm.nn.mlp import Activation
from chiasm.weights.folder import outline
from chiasm.weights.state import assign
from chiasm.weights.translate import translate

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
FORMS = {
    "plain-shared": (Plain(), SharedHead()),
    "tanh-own": (Gated(), OwnHead()),
    "exact-own": (Gated(activation=Activation.GELU), OwnHead()),
}


def config(form: str) -> EncDecLM.Config:
    """Odd sizes: heads that do not fill the width, stacks of unequal depth, distances that reach beyond the last."""
    mlp, head = FORMS[form]
    sizes = {"dim": 20, "depth": 3, "decoder_depth": 2, "heads": 3, "head_dim": 6, "hidden": 28}
    return EncDecLM.Config(vocab=31, **sizes, mlp=mlp, head=head, buckets=8, reach=12)


def pair(form: str) -> tuple[EncDecLM, T5ForConditionalGeneration]:
    """The same weights, all of them far from their start."""
    cfg = config(form)
    torch.manual_seed(1)  # with which some of its texts end
    theirs = T5ForConditionalGeneration(T5Config(**t5.write(cfg))).eval()
    if isinstance(cfg.head, OwnHead):
        theirs.lm_head.weight = nn.Parameter(torch.randn(31, 20))
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    ours = cfg.build().eval()
    assign(ours, translate(theirs.state_dict(), t5.rules(cfg), source="theirs"), source="theirs")
    return ours, theirs


def given(rows: int = 3, width: int = 17) -> tuple[Tensor, Tensor]:
    """Vectors, padded on the left, also far beyond the reach."""
    present = torch.arange(width)[None] >= torch.tensor([0, 9, 13, 4, 16])[:rows, None]
    return torch.randn(rows, width, 20), present


def said(rows: int = 3) -> Text:
    ids, lengths = torch.randint(2, 31, (rows, 15)), torch.tensor([4, 15, 1])[:rows]
    mask = torch.arange(15)[None] < lengths[:, None]
    return Text(ids.masked_fill(~mask, 0), mask)


class Writer:
    """What our decoding asks for: `seen` holds word vectors, and a last number that says which are present."""

    start, end = 0, 1

    def __init__(self, model: EncDecLM) -> None:
        self.model = model

    def recall(self, seen: Tensor) -> Cache:
        return self.model.recall(seen[..., :-1], seen[..., -1] > 0)

    def speak(self, ids: Tensor, state: Any, present: Tensor | None = None) -> tuple[Tensor, Any]:
        assert present is None
        return self.model.speak(ids, state)


@pytest.mark.parametrize("form", FORMS)
@torch.inference_mode()
def test_states_logits_and_loss_are_theirs(form: str) -> None:
    ours, theirs = pair(form)
    (vectors, present), text = given(), said()
    labels = text.ids.masked_fill(~text.mask, -100)
    told = theirs(inputs_embeds=vectors, attention_mask=present.long(), labels=labels)
    states = ours.encoder(vectors, present)
    torch.testing.assert_close(states[present], told.encoder_last_hidden_state[present], **CLOSE)
    logits = ours.logits(ours.predict(vectors, present, text))
    torch.testing.assert_close(logits, told.logits[text.mask], **CLOSE)
    torch.testing.assert_close(F.cross_entropy(logits, text.ids[text.mask]), told.loss, **CLOSE)


@torch.inference_mode()
def test_words_are_vectors() -> None:
    ours, theirs = pair("tanh-own")
    text = said()
    told = theirs(input_ids=text.ids, attention_mask=text.mask.long(), labels=text.ids)
    logits = ours.logits(ours.predict(ours.embed(text.ids), text.mask, Text(text.ids, torch.ones_like(text.mask))))
    torch.testing.assert_close(logits, told.logits.flatten(0, 1), **CLOSE)


@pytest.mark.parametrize("form", ["plain-shared", "tanh-own"])
@torch.inference_mode()
def test_it_says_what_theirs_says(form: str) -> None:
    ours, theirs = pair(form)
    vectors, present = given(5)
    seen = torch.cat([vectors, present[..., None].float()], dim=-1)
    opening = Text(torch.zeros(5, 1, dtype=torch.long), torch.ones(5, 1, dtype=torch.bool))
    asked = {"inputs_embeds": vectors, "attention_mask": present.long(), "max_new_tokens": 8, "do_sample": False}
    for strategy, beams in ((Greedy(), 1), (Beam(3), 3)):
        told = theirs.generate(**asked, num_beams=beams).tolist()
        texts = generate(Writer(ours), seen, opening, strategy, Limits(8))
        assert [[*text[0].ids] for text in texts] == [row[1 : [*row, 1].index(1)] for row in told]
        assert len({text[0].ids for text in texts}) > 1


@torch.inference_mode()
def test_one_word_at_a_time_is_all_at_once() -> None:
    ours, _ = pair("tanh-own")
    (vectors, present), text = given(), said()
    whole = Text(text.ids, torch.ones_like(text.mask))
    expected = ours.logits(ours.predict(vectors, present, whole)).unflatten(0, (3, -1))
    logits, state = ours.listen(vectors, present)
    steps = [logits]
    for t in range(14):
        logits, state = ours.speak(text.ids[:, t : t + 1], state)
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, dim=1), expected, rtol=1e-4, atol=1e-4)
    several, _ = ours.speak(text.ids[:, :5], ours.listen(vectors, present)[1])
    torch.testing.assert_close(several, expected[:, 5], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_rows_share_what_was_given() -> None:
    ours, _ = pair("tanh-own")
    vectors, present = given()
    _, state = ours.listen(vectors, present)
    many = state.spread(2).select(torch.tensor([1, 0, 3, 3, 4, 5])).keep(torch.tensor([2, 0]))
    assert many.image[0].k.shape[0] == 2
    ids = torch.tensor([[4], [5], [6], [7]])
    both, _ = ours.speak(ids, many)
    for row, picture in enumerate([2, 2, 0, 0]):
        one = slice(picture, picture + 1)
        alone, _ = ours.speak(ids[row : row + 1], ours.listen(vectors[one], present[one])[1])
        torch.testing.assert_close(both[row : row + 1], alone, **CLOSE)


@torch.inference_mode()
def test_nothing_leaks() -> None:
    """Neither padding, nor what is said later."""
    ours, _ = pair("tanh-own")
    (vectors, present), text = given(), said()
    whole = Text(text.ids, torch.ones_like(text.mask))
    before = ours.predict(vectors, present, whole).unflatten(0, (3, -1))
    noisy = torch.where(present[..., None], vectors, torch.randn_like(vectors))
    torch.testing.assert_close(ours.predict(noisy, present, whole).unflatten(0, (3, -1)), before, **CLOSE)
    later = Text(torch.cat([text.ids[:, :7], 1 + text.ids[:, 7:] % 30], dim=1), whole.mask)
    after = ours.predict(vectors, present, later).unflatten(0, (3, -1))
    torch.testing.assert_close(after[:, :8], before[:, :8], **CLOSE)  # the eighth is predicted from seven
    assert (after[:, 8:] - before[:, 8:]).abs().amax(dim=-1).min() > 1e-3


def test_where_a_text_stands_in_its_row_does_not_matter() -> None:
    ours, _ = pair("tanh-own")
    text, vectors = said(1), torch.randn(1, 5, 20)
    left, right = F.pad(vectors, (0, 0, 4, 0)), F.pad(vectors, (0, 0, 0, 4))
    told = torch.ones(1, 5, dtype=torch.bool)
    expected = ours.predict(vectors, told, text)
    torch.testing.assert_close(ours.predict(left, F.pad(told, (4, 0)), text), expected, **CLOSE)
    torch.testing.assert_close(ours.predict(right, F.pad(told, (0, 4)), text), expected, **CLOSE)


def test_frozen_it_teaches_what_it_is_given() -> None:
    model = encdec.tiny(40).build().requires_grad_(requires_grad=False)
    vectors = torch.randn(2, 5, 64, requires_grad=True)
    text = Text(torch.randint(2, 40, (2, 4)), torch.ones(2, 4, dtype=torch.bool))
    model.logits(model.predict(vectors, torch.ones(2, 5, dtype=torch.bool), text)).logsumexp(-1).sum().backward()
    assert vectors.grad is not None
    assert vectors.grad.abs().sum(dim=-1).min() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("form", ["plain-shared", "tanh-own"])
def test_every_weight_learns(form: str) -> None:
    model = config(form).build()
    (vectors, present), text = given(), said()
    model.logits(model.predict(vectors, present, text)).logsumexp(-1).sum().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("form", ["plain-shared", "exact-own"])
def test_dropout_falls_where_theirs_does(form: str) -> None:
    """The same chances in the same order leave the same loss."""
    ours, theirs = pair(form)
    (vectors, present), text = given(), said()
    torch.manual_seed(7)
    told = theirs.train()(
        inputs_embeds=vectors, attention_mask=present.long(), labels=text.ids.masked_fill(~text.mask, -100)
    )
    torch.manual_seed(7)
    logits = ours.train().logits(ours.predict(vectors, present, text))
    torch.testing.assert_close(F.cross_entropy(logits, text.ids[text.mask]), told.loss, **CLOSE)


def test_half_precision_is_close() -> None:
    """Of the weights, or of what is computed; what it is given may be finer."""
    torch.manual_seed(0)
    model = encdec.tiny(50).build().eval()
    vectors, present, text = torch.randn(3, 17, 64), given()[1], said()
    expected = model.logits(model.predict(vectors, present, text))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.logits(model.predict(vectors, present, text))
    halves = model.bfloat16()
    half = halves.logits(halves.predict(vectors, present, text))
    assert mixed.dtype == half.dtype == torch.bfloat16
    for told in (mixed, half):
        torch.testing.assert_close(told.float(), expected, rtol=0.0, atol=0.1)
    assert expected.std() > 0.5


def test_sizes_are_the_published_ones() -> None:
    """Counted from the papers' tables; T5 1.1's have a third matrix in each MLP and a head of their own."""
    for cfg, millions in ((encdec.t5_small(), 60.5), (encdec.flan_t5_xl(), 2849.8), (encdec.flan_t5_xxl(), 11135.3)):
        assert isinstance(cfg, LanguageConfig)
        counted = sum(parameter.numel() for parameter in outline(cfg).parameters())
        assert counted / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_start_keeps_scales() -> None:
    """States of about 1, and logits that know nothing yet."""
    torch.manual_seed(0)
    for cfg in (encdec.tiny(200), replace(encdec.tiny(200), mlp=Plain(), head=SharedHead())):
        model = cfg.build().eval()
        text = Text(torch.randint(2, 200, (4, 9)), torch.ones(4, 9, dtype=torch.bool))
        logits = model.logits(model.predict(torch.randn(4, 5, 64), torch.ones(4, 5, dtype=torch.bool), text))
        assert 0.5 < float(logits.detach().std()) < 2.0


def test_it_is_a_language_with_a_config() -> None:
    cfg = config("exact-own")
    assert from_json(to_json(cfg)) == cfg
    assert isinstance(cfg.build(), Language)
