"""All strategies at once: equal to transformers, to themselves row by row, and sane where there is nothing to do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, GPT2Config, GPT2LMHeadModel

from chiasm.archetypes.med import Captioner
from chiasm.core.ability import Speaks
from chiasm.core.types import Markers, Text
from chiasm.decoding.generate import generate
from chiasm.decoding.spoken import Spoken
from chiasm.decoding.strategies import Beam, Greedy, Limits, Nucleus, Strategy
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT

PROMPTS = [[0, 7, 3, 5], [0], [0, 9], [0, 4, 4]]


@dataclass(frozen=True)
class Past:
    """A cache of transformers, and what it does not keep: the mask, and how many pictures there are."""

    cache: DynamicCache
    mask: Tensor
    pictures: int

    def spread(self, k: int) -> "Past":
        self.cache.batch_repeat_interleave(k)
        return replace(self, mask=self.mask.repeat_interleave(k, dim=0))

    def select(self, rows: Tensor) -> "Past":
        self.cache.reorder_cache(rows)
        return replace(self, mask=self.mask[rows])

    def keep(self, pictures: Tensor) -> "Past":
        k = len(self.mask) // self.pictures
        rows = (pictures[:, None] * k + torch.arange(k)).flatten()
        self.cache.batch_select_indices(rows)
        return replace(self, mask=self.mask[rows], pictures=len(pictures))


@dataclass(frozen=True)
class GPT2:
    """A language model of transformers that speaks about nothing."""

    model: GPT2LMHeadModel
    start: int = 0
    end: int = 1

    def see(self, images: Tensor) -> Tensor:
        return images.flatten(2)

    def recall(self, seen: Tensor) -> Past:
        return Past(DynamicCache(), torch.ones(len(seen), 0).long(), len(seen))

    def speak(self, ids: Tensor, state: Past, present: Tensor | None = None) -> tuple[Tensor, Past]:
        new = torch.ones_like(ids) if present is None else present.long()
        mask = torch.cat([state.mask, new], dim=1)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = self.model(ids, attention_mask=mask, position_ids=positions, past_key_values=state.cache)
        return out.logits[:, -1], Past(out.past_key_values, mask, state.pictures)


@pytest.fixture(scope="module")
def gpt2() -> GPT2:
    torch.manual_seed(0)
    cfg = GPT2Config(
        vocab_size=20, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.6,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    return GPT2(GPT2LMHeadModel(cfg).eval())


def padded(prompts: list[list[int]]) -> Text:
    width = max(map(len, prompts))
    return Text(
        torch.tensor([[2] * (width - len(p)) + p for p in prompts]),
        torch.tensor([[False] * (width - len(p)) + [True] * len(p) for p in prompts]),
    )


def theirs(gpt2: GPT2, prompt: list[int], strategy: Strategy, limits: Limits, returns: int) -> list[tuple[int, ...]]:
    beams = (
        {"num_beams": strategy.beams, "length_penalty": strategy.length_penalty} if isinstance(strategy, Beam) else {}
    )
    config = GenerationConfig(
        max_new_tokens=limits.max_new_tokens, min_new_tokens=limits.min_new_tokens or None,
        repetition_penalty=limits.repetition_penalty, do_sample=False, num_return_sequences=returns,
        bos_token_id=0, eos_token_id=1, pad_token_id=2, **beams,
    )  # fmt: skip
    ids = torch.tensor([prompt])
    rows = gpt2.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    new = [row[len(prompt) :] for row in rows.tolist()]
    return [tuple(row[: row.index(1)] if 1 in row else row) for row in new]


LIMITS = [
    Limits(8),
    Limits(1),
    Limits(8, min_new_tokens=4),
    Limits(8, repetition_penalty=1.3),
    Limits(8, min_new_tokens=8, repetition_penalty=0.8),
]
BEAMS = [Beam(beams, penalty) for beams in (1, 3, 5) for penalty in (-1.0, 0.0, 1.0, 2.0)]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("strategy", [Greedy(), *BEAMS], ids=str)
def test_tokens_are_those_of_transformers(gpt2: GPT2, strategy: Strategy, limits: Limits) -> None:
    returns = strategy.beams if isinstance(strategy, Beam) else 1
    spoken = generate(gpt2, torch.zeros(4, 1, 1), padded(PROMPTS), strategy, limits, returns=returns)
    for prompt, texts in zip(PROMPTS, spoken, strict=True):
        assert [text.ids for text in texts] == theirs(gpt2, prompt, strategy, limits, returns)
        for text in texts:
            assert text.logprob == pytest.approx(own_logprob(gpt2, prompt, text, limits), abs=1e-4)


@torch.no_grad()
def own_logprob(gpt2: GPT2, prompt: list[int], text: Spoken, limits: Limits) -> float:
    """One pass over the whole text, the end included where there was room for it."""
    said = [*text.ids, 1][: limits.max_new_tokens]
    logits = gpt2.model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(dim=1).gather(1, torch.tensor(said)[:, None]).sum().item()


ALL = [Greedy(), Beam(3), Beam(4, -1.0), Nucleus(0.9), Nucleus(0.7, temperature=1.5)]


@pytest.mark.parametrize("limits", [Limits(9), Limits(9, min_new_tokens=2, repetition_penalty=1.5)], ids=str)
@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_batch_is_its_rows_one_by_one(make_scene: Callable[..., Any], strategy: Strategy, limits: Limits) -> None:
    returns = 1 if isinstance(strategy, Greedy) else 3
    for seed in range(3):
        scene, seeds = make_scene(seed=seed, ends=2.0), [11, 12, 11, 14]
        spoken = generate(scene.toy, scene.seen, scene.text, strategy, limits, returns=returns, seeds=seeds)
        for row, texts in enumerate(spoken):
            [alone] = generate(*scene.alone(row), strategy, limits, returns=returns, seeds=[seeds[row]])
            assert [text.ids for text in alone] == [text.ids for text in texts]
            assert [text.logprob for text in alone] == pytest.approx([text.logprob for text in texts], abs=1e-4)


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    torch.manual_seed(3)
    markers = Markers(pad=2, cls=3, sep=1, mask=4, dec=0, enc=5)
    vision = ViT.Config(dim=16, depth=1, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)
    text = Bert.Config(vocab=20, image_dim=16, dim=16, depth=2, heads=2, reads=(0, 1), max_len=16, std=0.5)
    return Captioner.Config(vision=vision, text=text, markers=markers).build().eval()


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_blip_speaks_in_a_batch_as_alone(captioner: Captioner, strategy: Strategy) -> None:
    assert isinstance(captioner, Speaks)
    returns, limits = 1 if isinstance(strategy, Greedy) else 2, Limits(8, repetition_penalty=1.2)
    seen = captioner.see(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))).detach()
    spoken = generate(captioner, seen, padded(PROMPTS), strategy, limits, returns=returns, seeds=range(4))
    assert len({texts[0].ids for texts in spoken}) > 1
    for row, texts in enumerate(spoken):
        prompt = padded(PROMPTS[row : row + 1])
        [alone] = generate(captioner, seen[row : row + 1], prompt, strategy, limits, returns=returns, seeds=[row])
        assert [text.ids for text in alone] == [text.ids for text in texts]
        for text in texts:
            assert text.logprob == pytest.approx(whole_logprob(captioner, seen[row], PROMPTS[row], text), abs=1e-4)


@torch.no_grad()
def whole_logprob(captioner: Captioner, seen: Tensor, prompt: list[int], text: Spoken) -> float:
    """The same text read at once, without steps."""
    said = [*text.ids, captioner.end][:8]
    ids = torch.tensor([prompt + said])
    states, _ = captioner.decoder.decode(ids, captioner.recall(seen[None]))
    logits = captioner.word_head(states)[0, len(prompt) - 1 : -1]
    return logits.log_softmax(dim=1).gather(1, torch.tensor(said)[:, None]).sum().item()


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_no_room_and_no_pictures(make_scene: Callable[..., Any], strategy: Strategy) -> None:
    scene = make_scene()
    returns = 1 if isinstance(strategy, Greedy) else 2
    nothing = generate(scene.toy, scene.seen, scene.text, strategy, Limits(0), returns=returns)
    assert nothing == [[Spoken((), 0.0)] * returns] * 4
    assert generate(scene.toy, scene.seen[:0], scene.text[:0], strategy, Limits(3), seeds=[]) == []


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_the_end_at_once(make_scene: Callable[..., Any], strategy: Strategy) -> None:
    scene = make_scene(ends=60.0)
    for [text] in generate(scene.toy, scene.seen, scene.text, strategy, Limits(5), seeds=range(4)):
        assert text.ids == ()
        assert text.logprob == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": Greedy(), "returns": 2}, "greedy decoding has one text a picture, not 2"),
        ({"strategy": Beam(3), "returns": 4}, "3 beams cannot give 4 texts"),
        ({"returns": 0}, "num_return_sequences is 0"),
        ({"seeds": [1]}, "1 seeds and 4 prompts"),
        ({"seen": torch.zeros(3, 2, 8)}, "3 pictures and 4 prompts"),
        ({"prompt": Text(torch.zeros(4, 2).long(), torch.tensor([[True, False]] * 4))}, "pad on the left"),
    ],
)
def test_what_cannot_be_done_is_said(make_scene: Callable[..., Any], change: dict[str, Any], words: str) -> None:
    scene = make_scene()
    wanted = {"seen": scene.seen, "prompt": scene.text, "strategy": Nucleus(0.9), "limits": Limits(3)} | change
    with pytest.raises(ValueError, match=words):
        generate(scene.toy, **wanted)


def test_no_graph_is_built(captioner: Captioner) -> None:
    seen, graphs = torch.zeros(1, 5, 16, requires_grad=True), list[bool]()
    watch = captioner.word_head.register_forward_hook(
        lambda _module, _seen, logits: graphs.append(logits.requires_grad)
    )
    generate(captioner, seen, padded([[0]]), Greedy(), Limits(3))
    watch.remove()
    assert graphs
    assert not any(graphs)
