"""A language model learns the order of words from texts alone, in our loop, and in two processes as in one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chiasm.archetypes.language_model import LanguageModel
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels, Text, Worded
from chiasm.data.sources.chance import chance
from chiasm.data.sources.world import caption, scene
from chiasm.data.text import Tokenizer
from chiasm.nn.position import Rotary
from chiasm.training.run import Batch, Run
from chiasm.training.train import train

from . import language_alone as alone

SCRIPT = Path(__file__).with_name("language_alone.py")
WORDS = Tokenizer.builtin()
PIXELS = Pixels(size=2, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def test_a_batch_is_as_long_as_it_has_texts() -> None:
    batch = alone.batch()
    assert isinstance(batch, Batch)
    assert len(batch.to("cpu")) == len(batch) == 6


@torch.inference_mode()
def test_all_that_is_said_is_learned_and_nothing_else() -> None:
    """A loop without padding, that reads everything anew for every token."""
    model, batch = alone.model(), alone.batch()
    total, count = 0.0, 0
    for given, said in zip(rows(batch.given), rows(batch.said), strict=True):
        for last in range(len(said)):
            seen = model.lm.embed(torch.cat([given, said[:last]])[None])
            logits, _ = model.lm.listen(seen, torch.ones(seen.shape[:2], dtype=torch.bool))
            total -= float(logits[0].log_softmax(0)[said[last]])
            count += 1
    assert float(model(batch)["language"]) == pytest.approx(total / count, rel=1e-4)


def rows(text: Text) -> list[Tensor]:
    return [ids[mask] for ids, mask in zip(text.ids, text.mask, strict=True)]


@pytest.mark.slow
def test_two_ranks_are_one_with_a_batch_twice_as_large(on_two_ranks: Callable[[Path], list[Any]]) -> None:
    both, model = on_two_ranks(SCRIPT), alone.model()
    loss = model(alone.batch())["language"]
    loss.backward()
    torch.testing.assert_close(sum(told["loss"] for told in both) / 2, loss.detach())
    for name, weight in model.named_parameters():
        averaged = sum(told["gradients"][name] for told in both) / 2
        torch.testing.assert_close(averaged, weight.grad, rtol=1e-4, atol=1e-5)


class Captions:
    """Endless batches of the made world's captions."""

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.place = seed, 0

    def __next__(self) -> Worded:
        rng = chance("captions", self.seed, self.place)
        self.place += 1
        text = WORDS.encode([caption(scene().scene(rng)) for _ in range(12)])
        return Worded(Text(text.ids[:, :1], text.mask[:, :1]), Text(text.ids[:, 1:], text.mask[:, 1:]))

    def state_dict(self) -> Mapping[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.place = state["place"]


def shuffled(batch: Worded) -> Worded:
    """The same words before the same end, in any order."""
    ids, rng = batch.said.ids.clone(), torch.Generator().manual_seed(0)
    for row, length in zip(ids, batch.said.mask.sum(1).tolist(), strict=True):
        row[: length - 1] = row[torch.randperm(length - 1, generator=rng)]
    return Worded(batch.given, Text(ids, batch.said.mask))


def test_it_learns_the_order_of_words_and_not_only_the_words(tmp_path: Path) -> None:
    """In our loop; the ablation is the same held-out words in any order, which were as likely before."""
    language = replace(alone.CFG.lm, vocab=WORDS.vocab, position=Rotary(max_len=64), dim=32, std=0.1)
    cfg = LanguageModel.Config(lm=language)
    run = Run(
        name="read", system="tests", preset="tiny", model=cfg, data=Captions, pixels=PIXELS, tokenizer=WORDS,
        stage=Stage(name="read", preset="tiny", train={"lm": 1.0}, losses={"language": 1.0}), steps=25, lr=2e-2,
    )  # fmt: skip
    model, held_out = train([run], tmp_path), next(Captions(seed=1))
    torch.manual_seed(0)
    fresh = cfg.build()
    with torch.inference_mode():
        perplexity = [
            float(each(batch)["language"].exp()) for each in (fresh, model) for batch in (held_out, shuffled(held_out))
        ]
    before, before_shuffled, after, after_shuffled = perplexity
    assert after < before / 3
    assert after < after_shuffled / 3
    assert abs(before - before_shuffled) < 0.1 * before
