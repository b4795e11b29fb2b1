"""The decoder's own promises: nothing leaks, a cache changes nothing, frozen it passes gradients, and starts small."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from chiasm.core.types import Text
from chiasm.nn.decoder import DecoderLM, Gated, Head, Plain, Start
from chiasm.nn.grouped import Biases, GroupedAttention
from chiasm.nn.language import Language, LanguageConfig
from chiasm.nn.mlp import Activation
from chiasm.nn.norm import LayerNorm, RMSNorm
from chiasm.nn.position import Learned, Rotary, Slowing
from chiasm.nn.recompute import recompute

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
MODERN = DecoderLM.Config(
    vocab=31, dim=16, depth=3, heads=4, kv_heads=2, position=Rotary(max_len=24), norm=RMSNorm.Config(eps=1e-5),
    mlp=Gated(hidden=20), biases=Biases.READING, head=Head.OWN, window=5, std=0.3,
)  # fmt: skip
OLD = replace(
    MODERN, kv_heads=4, position=Learned(max_len=24, unused=2), norm=LayerNorm.Config(),
    mlp=Plain(hidden=20, activation=Activation.RELU), biases=Biases.ALL, head=Head.TIED, window=None,
)  # fmt: skip


@pytest.fixture(params=[MODERN, OLD], ids=["modern", "old"])
def lm(request: pytest.FixtureRequest) -> DecoderLM:
    return built(request.param)


def built(cfg: DecoderLM.Config) -> DecoderLM:
    torch.manual_seed(0)
    return cfg.build().eval()


def given(*lengths: int) -> tuple[Tensor, Tensor]:
    """Vectors, padded on the left."""
    longest = max(lengths)
    present = torch.arange(longest)[None] >= longest - torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), longest, 16, generator=torch.Generator().manual_seed(1)), present


def text(rows: int, length: int) -> Text:
    ids = torch.randint(31, (rows, length), generator=torch.Generator().manual_seed(2))
    return Text(ids, torch.ones_like(ids, dtype=torch.bool))


def test_it_is_a_language(lm: DecoderLM) -> None:
    assert isinstance(lm, Language)
    assert isinstance(MODERN, LanguageConfig)


@torch.inference_mode()
def test_token_by_token_is_all_at_once(lm: DecoderLM) -> None:
    """Rows spread, reordered and left out as beams are, steps of several tokens among them."""
    (vectors, present), said = given(6, 2, 4), text(6, 7)
    logits, state = lm.listen(vectors, present)
    state = state.spread(2)
    steps = [logits.repeat_interleave(2, dim=0)]
    for piece in said.ids.split([1, 1, 3, 2], dim=1):
        logits, state = lm.speak(piece, state)
        steps.append(logits)
    rows = torch.arange(3).repeat_interleave(2)
    whole = lm.logits(lm.predict(vectors[rows], present[rows], said)).unflatten(0, (6, 7))
    for place, step in zip([0, 1, 2, 5], steps[:4], strict=True):
        torch.testing.assert_close(step, whole[:, place], **CLOSE)
    state = state.keep(torch.tensor([0, 2])).select(torch.tensor([1, 0, 3, 3]))
    kept = torch.tensor([1, 0, 5, 5])
    logits, state = lm.speak(torch.tensor([[3], [4], [5], [6]]), state)
    longer = torch.cat([said.ids[kept], torch.tensor([[3], [4], [5], [6]]), torch.zeros(4, 1, dtype=torch.long)], dim=1)
    again = lm.predict(vectors[rows][kept], present[rows][kept], Text(longer, torch.ones_like(longer).bool()))
    torch.testing.assert_close(logits, lm.logits(again).unflatten(0, (4, 9))[:, -1], **CLOSE)


@torch.inference_mode()
def test_rows_about_one_thing_share_what_was_given(lm: DecoderLM) -> None:
    _, state = lm.listen(*given(6, 2))
    wide = state.spread(5)
    _, wide = lm.speak(torch.zeros(10, 1, dtype=torch.long), wide)
    assert wide.image is state.image
    assert [tuple(kv.k.shape[::2]) for kv in wide.past if kv is not None] == [(10, 1)] * 3


@torch.inference_mode()
def test_padding_changes_nothing(lm: DecoderLM) -> None:
    (vectors, present), said = given(6, 3), text(2, 4)
    said = Text(said.ids, torch.tensor([[True] * 4, [True, True, False, False]]))
    both = lm.predict(vectors, present, said)
    other = torch.where(present[..., None], vectors, 9.0)
    torch.testing.assert_close(lm.predict(other, present, said), both, **CLOSE)
    alone = lm.predict(vectors[1:, 3:], present[1:, 3:], Text(said.ids[1:, :2], said.mask[1:, :2]))
    torch.testing.assert_close(both[4:], alone, **CLOSE)


@torch.inference_mode()
def test_later_words_cannot_leak_backwards(lm: DecoderLM) -> None:
    (vectors, present), said = given(3), text(1, 6)
    changed = Text(said.ids.clone(), said.mask)
    changed.ids[:, 3] += 1
    one, other = lm.predict(vectors, present, said), lm.predict(vectors, present, changed)
    assert torch.equal(one[:4], other[:4])
    assert not torch.allclose(one[4:], other[4:])


def test_who_sees_whom() -> None:
    def drawn(lm: DecoderLM, words: int, before: int, present: Tensor | None) -> list[str]:
        mask = lm._sight(words, before, present, torch.device("cpu"))
        assert mask is not None
        return ["".join(".x"[int(seen)] for seen in row) for row in mask[0, 0]]

    narrow, wide = (built(replace(MODERN, window=window)) for window in (3, None))
    padded = torch.tensor([[False, True, True, True, True]])
    assert drawn(wide, 4, 0, None) == ["x...", "xx..", "xxx.", "xxxx"]
    assert drawn(narrow, 4, 0, None) == ["x...", "xx..", "xxx.", ".xxx"]
    assert drawn(wide, 5, 0, padded) == ["x....", ".x...", ".xx..", ".xxx.", ".xxxx"]
    assert drawn(narrow, 2, 3, padded) == [".xxx.", "..xxx"]
    assert drawn(narrow, 1, 3, None) == [".xxx"]
    assert wide._sight(1, 3, None, torch.device("cpu")) is None


def test_frozen_it_passes_gradients_to_what_it_was_given_and_keeps_none(lm: DecoderLM) -> None:
    (vectors, present), said = given(4, 2), text(2, 3)
    lm.requires_grad_(requires_grad=False)
    vectors.requires_grad_()
    lm.logits(lm.predict(vectors, present, said)).square().sum().backward()
    assert vectors.grad is not None
    assert vectors.grad[present].abs().sum(dim=-1).min() > 0
    assert not vectors.grad[~present].any()
    assert all(weight.grad is None for weight in lm.parameters())


def test_layers_computed_twice_give_the_same_gradients_to_the_bit(lm: DecoderLM) -> None:
    def step() -> tuple[list[Tensor | None], list[str]]:
        kept = list[str]()
        (vectors, present), said = given(4, 2), text(2, 3)
        vectors.requires_grad_()
        lm.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(str(x.shape)) or x, lambda x: x):
            loss = lm.logits(lm.predict(vectors, present, said)).square().sum()
        loss.backward()
        return [vectors.grad, *(weight.grad for weight in lm.parameters())], kept

    once, kept = step()
    names, before = [*lm.state_dict()], lm.listen(*given(3))[0].detach()
    recompute(lm.layers)
    twice, left = step()
    assert all(torch.equal(one, two) for one, two in zip(once, twice, strict=True))
    assert len(left) < len(kept) / 2
    assert [*lm.state_dict()] == names
    with torch.inference_mode():
        assert torch.equal(lm.listen(*given(3))[0], before)


def test_inference_runs_nothing_of_it(lm: DecoderLM, monkeypatch: pytest.MonkeyPatch) -> None:
    recompute(lm.layers)
    monkeypatch.setattr("chiasm.nn.recompute.checkpoint", None)
    with torch.no_grad():
        lm.listen(*given(3))
    with pytest.raises(TypeError):
        lm.listen(*given(3))


def test_halves_take_what_is_given_in_fp32(lm: DecoderLM) -> None:
    (vectors, present), said = given(4, 2), text(2, 3)
    expected = lm.logits(lm.predict(vectors, present, said))
    half = lm.bfloat16()
    logits = half.logits(half.predict(vectors, present, said))
    assert logits.dtype == torch.bfloat16
    assert (logits - expected).norm() < 0.05 * expected.norm()
    first, state = half.listen(vectors, present)
    after, _ = half.speak(said.ids[:, :1], state)
    assert torch.equal(first, logits[[0, 3]])
    assert (after - expected[[1, 4]]).norm() < 0.05 * expected[[1, 4]].norm()


def test_a_text_longer_than_the_model_is_refused_and_padding_does_not_count(lm: DecoderLM) -> None:
    vectors, present = given(22, 2)
    with pytest.raises(ValueError, match="a text of 25 tokens for a model of at most 24"):
        lm.predict(vectors, present, text(2, 4))
    present[0, :4] = False
    lm.predict(vectors, present, text(2, 4))
    _, state = lm.listen(*given(24))
    with pytest.raises(ValueError, match="a text of 25 tokens for a model of at most 24"):
        lm.speak(torch.zeros(1, 1, dtype=torch.long), state)


def test_nothing_given_is_refused(lm: DecoderLM) -> None:
    with pytest.raises(ValueError, match="nothing is given, and the first token comes from it"):
        lm.predict(torch.zeros(2, 0, 16), torch.ones(2, 0, dtype=torch.bool), text(2, 4))


@pytest.mark.parametrize(("heads", "kv_heads"), [(5, 5), (4, 3)])
def test_heads_that_do_not_divide_are_refused(heads: int, kv_heads: int) -> None:
    with pytest.raises(ValueError, match=f"dim 16 must divide into {heads} heads, and those into {kv_heads}"):
        GroupedAttention(16, heads, kv_heads=kv_heads, biases=Biases.NONE)


def test_turns_tell_distances_only() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8)
    turns = [Rotary(max_len=99).build(8)(q[0], torch.tensor([[place]]))[1] for place in (3, 7, 50, 54)]
    near, far = ((turns[i](q) * turns[i + 1](k)).sum() for i in (0, 2))
    torch.testing.assert_close(near, far, **CLOSE)
    assert not torch.isclose(near, (q * k).sum())


def test_only_slow_turns_slow_down() -> None:
    device = torch.device("cpu")
    plain = Rotary(max_len=99, theta=100.0).rates(8, device)
    slowed = Rotary(max_len=99, theta=100.0, slowing=Slowing(factor=4.0, slow=1.0, quick=4.0, trained=30)).rates(
        8, device
    )
    turns = 30 * plain / (2 * math.pi)  # 4.8, 1.5, 0.5, 0.2
    assert torch.equal(slowed[0], plain[0])
    assert plain[1] / 4 < slowed[1] < plain[1]
    torch.testing.assert_close(slowed[2:], plain[2:] / 4)
    assert turns[0] > 4 > turns[1] > 1 > turns[2]


@torch.no_grad()
def test_where_weights_start_from() -> None:
    """Everything alike, but what GPT-2 adds to the stream: smaller by the root of how often it does."""
    wide = replace(OLD, dim=64, heads=4, kv_heads=4, depth=8, mlp=Plain(hidden=256, activation=Activation.TANH_GELU))
    alike, shrunk = built(replace(wide, std=0.02)), built(replace(wide, std=0.02, start=Start.SHRUNK))
    for layer, small in zip(alike.layers, shrunk.layers, strict=True):
        for part in (layer.attend.q, layer.attend.out, layer.mlp.up, layer.mlp.down, small.attend.q):
            assert float(part.weight.std()) == pytest.approx(0.02, rel=0.1)
            assert isinstance(part, nn.Linear)
            assert not part.bias.any()
        for part in (small.attend.out, small.mlp.down):
            assert float(part.weight.std()) == pytest.approx(0.02 / 4, rel=0.1)
    assert alike.head.weight is alike.word.weight
    assert float(alike.word.weight.std()) == pytest.approx(0.02, rel=0.1)
