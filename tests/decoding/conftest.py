"""A small recurrent speaker, and slow plain loops that say what every strategy should answer."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from chiasm.core.types import Text
from chiasm.decoding.strategies import Limits

Speak = Callable[[Sequence[int]], list[float]]  # all tokens so far -> logits of the next


@dataclass(frozen=True)
class Memory:
    """One hidden vector a row; refuses rows that change pictures."""

    hidden: Tensor
    k: int
    log: list[str]

    def spread(self, k: int) -> "Memory":
        self.log.append(f"spread {k}")
        return replace(self, hidden=self.hidden.repeat_interleave(k, dim=0), k=self.k * k)

    def select(self, rows: Tensor) -> "Memory":
        self.log.append("select")
        k = len(rows) * self.k // len(self.hidden)
        assert torch.equal(rows // self.k, torch.arange(len(rows)) // k)
        assert not torch.equal(rows, torch.arange(len(self.hidden))), "nothing moved"
        return replace(self, hidden=self.hidden[rows], k=k)

    def keep(self, pictures: Tensor) -> "Memory":
        self.log.append(f"keep {len(pictures)}")
        return replace(self, hidden=self.hidden.unflatten(0, (-1, self.k))[pictures].flatten(0, 1))


@dataclass
class Toy:
    """Random weights; the picture is where the hidden vector starts. `sharp` scales its logits."""

    vocab: int
    seed: int = 0
    sharp: float = 2.0
    ends: float = 0.0  # added to the end token's logit
    start: int = 0
    end: int = 1
    log: list[str] = field(default_factory=list[str])
    widths: list[int] = field(default_factory=list[int])  # rows of each call

    def __post_init__(self) -> None:
        chance = torch.Generator().manual_seed(self.seed)
        shapes = {"embed": (self.vocab, 8), "turn": (8, 8), "out": (8, self.vocab)}
        for name, shape in shapes.items():
            setattr(self, name, torch.randn(shape, generator=chance, dtype=torch.float64))

    def see(self, images: Tensor) -> Tensor:
        return images.flatten(2)

    def recall(self, seen: Tensor) -> Memory:
        return Memory(seen.mean(dim=1).double(), 1, self.log)

    def speak(self, ids: Tensor, state: Memory, present: Tensor | None = None) -> tuple[Tensor, Memory]:
        assert present is None or not self.widths, "the state remembers padding"
        assert ids.shape[1] == 1 or not self.widths, "only new tokens after the first call"
        self.widths.append(len(ids))
        hidden = state.hidden
        present = torch.ones_like(ids, dtype=torch.bool) if present is None else present
        for token, real in zip(ids.T, present.T, strict=True):
            hidden = torch.where(real[:, None], torch.tanh(hidden @ self.turn + self.embed[token]), hidden)
        return self._logits(hidden), replace(state, hidden=hidden)

    def about(self, picture: Tensor) -> Speak:
        """The same model without batch, state or padding."""

        def speak(ids: Sequence[int]) -> list[float]:
            hidden = picture.mean(dim=0).double()
            for token in ids:
                hidden = torch.tanh(hidden @ self.turn + self.embed[token])
            return self._logits(hidden).float().tolist()

        return speak

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = self.sharp * (hidden @ self.out)
        return logits + self.ends * (torch.arange(self.vocab) == self.end)


@dataclass(frozen=True)
class Slow:
    """Decoding as one would write it on paper: one picture, lists, everything computed anew."""

    speak: Speak
    end: int
    limits: Limits

    def greedy(self, prompt: list[int]) -> tuple[tuple[int, ...], float]:
        return self._follow(prompt, lambda scores, _: scores.index(max(scores)))

    def nucleus(
        self, prompt: list[int], top_p: float, temperature: float, numbers: Sequence[float]
    ) -> tuple[tuple[int, ...], float]:
        def draw(scores: list[float], step: int) -> int:
            chances = softmax([score / temperature for score in scores])
            order, mass, kept = sorted(range(len(chances)), key=lambda i: -chances[i]), 0.0, list[int]()
            for token in order:
                if mass < top_p:
                    kept.append(token)
                    mass += chances[token]
            goal, passed = numbers[step] * mass, 0.0
            for token in kept:
                passed += chances[token]
                if passed > goal:
                    return token
            return kept[-1]

        return self._follow(prompt, draw)

    def _follow(self, prompt: list[int], choose: Callable[[list[float], int], int]) -> tuple[tuple[int, ...], float]:
        new, logprob = list[int](), 0.0
        for step in range(self.limits.max_new_tokens):
            logits = self.speak(prompt + new)
            token = choose(self._bend(logits, prompt + new, step), step)
            logprob += log_softmax(logits)[token]
            if token == self.end:
                break
            new.append(token)
        return tuple(new), logprob

    def beam(self, prompt: list[int], beams: int, penalty: float) -> list[tuple[tuple[int, ...], float]]:
        running, finished = [(0.0, 0.0, list[int]())], list[tuple[float, float, list[int]]]()
        for step in range(self.limits.max_new_tokens):
            best = sorted(self._grown(prompt, running, step), key=lambda text: -text[0])[: 2 * beams]
            last, length = step + 1 == self.limits.max_new_tokens, (step + 1) ** penalty
            ended = [text for text in best[:beams] if last or text[2][-1] == self.end]
            finished += [(score / length, own, new) for score, own, new in ended]
            finished = sorted(finished, key=lambda text: -text[0])[:beams]
            running = [text for text in best if text[2][-1] != self.end][:beams]
            if not running or (len(finished) == beams and running[0][0] / length <= finished[-1][0]):
                break
        return [(tuple(token for token in new if token != self.end), own) for _, own, new in finished]

    def _grown(
        self, prompt: list[int], running: list[tuple[float, float, list[int]]], step: int
    ) -> Iterator[tuple[float, float, list[int]]]:
        for score, own, new in running:
            plain = log_softmax(self.speak(prompt + new))
            for token, gain in enumerate(self._bend(plain, prompt + new, step)):
                if gain > -math.inf:
                    yield score + gain, own + plain[token], [*new, token]

    def _bend(self, scores: list[float], past: list[int], step: int) -> list[float]:
        penalty, bent = self.limits.repetition_penalty, list(scores)
        for token in set(past):
            bent[token] = scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
        if step < self.limits.min_new_tokens:
            bent[self.end] = -math.inf
        return bent


def log_softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    total = top + math.log(sum(math.exp(x - top) for x in logits))
    return [x - total for x in logits]


def softmax(logits: list[float]) -> list[float]:
    return [math.exp(x) for x in log_softmax(logits)]


@dataclass(frozen=True)
class Scene:
    """A speaker, pictures and prompts of different lengths, padded on the left with a token that is never said."""

    toy: Toy
    seen: Tensor
    prompts: list[list[int]]

    @property
    def text(self) -> Text:
        width = max(map(len, self.prompts))
        ids = [[self.toy.vocab - 1] * (width - len(p)) + p for p in self.prompts]
        mask = [[False] * (width - len(p)) + [True] * len(p) for p in self.prompts]
        return Text(torch.tensor(ids), torch.tensor(mask))

    def alone(self, row: int) -> tuple[Toy, Tensor, Text]:
        """One row by itself, without padding, and the speaker with a clean log."""
        ids = torch.tensor([self.prompts[row]])
        return replace(self.toy, log=[], widths=[]), self.seen[row : row + 1], Text(ids, torch.ones_like(ids).bool())

    def slow(self, row: int, limits: Limits) -> Slow:
        return Slow(self.toy.about(self.seen[row]), self.toy.end, limits)


def make_scene(
    *, vocab: int = 13, seed: int = 0, prompts: Sequence[Sequence[int]] = ((0, 3, 4), (0,), (0, 5), (0, 2)), **toy: Any
) -> Scene:
    seen = torch.randn(len(prompts), 2, 8, generator=torch.Generator().manual_seed(seed + 1000))
    return Scene(Toy(vocab, seed, **toy), seen, [list(prompt) for prompt in prompts])


@pytest.fixture(name="make_scene")
def _make_scene() -> Callable[..., Scene]:
    return make_scene
