"""Several sources at once, each as often as it weighs; each goes through epochs of its own.

    mix:3*shop.parquet + 1*web.jsonl     three of four pairs are the shop's
    mix:shop.parquet + web.jsonl         by the square root of their sizes, so that small ones are not drowned

An epoch has as many rows as all parts together, and each part's share of it exactly. A part that is
smaller than its share begins again, in a new order; a larger one goes on in the next epoch where it
stopped. All of this follows from the epoch's number, so there is nothing to save but a position.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import sqrt

import torch

from chiasm.data.order import Rows, order, permutation
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import Chain, subset
from chiasm.data.sources.record import Skipped


class Mixture:
    """Pairs of several sources; `weights` are relative, and without them the square roots of the sizes."""

    def __init__(self, parts: Sequence[Source], weights: Sequence[float] | None = None) -> None:
        sizes = [len(part) for part in parts]
        weights = [sqrt(size) for size in sizes] if weights is None else list(weights)
        if not parts or len(parts) != len(weights):
            raise ValueError(f"a mixture needs a weight for each of its parts, but has {len(weights)} for {len(parts)}")
        if not all(0 < weight < float("inf") for weight in weights) or not all(sizes):
            raise ValueError(f"weights {weights} should be above 0, and so should the sizes of the parts, {sizes}")
        self.parts, self.weights, self._chain = tuple(parts), tuple(weights), Chain(*parts)
        self.starts = [0, *accumulate(sizes)]

    def __len__(self) -> int:
        return len(self._chain)

    def __getitem__(self, index: int) -> Pair:
        return self._chain[index]

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What any part left out."""
        return self._chain.skipped

    def summary(self) -> str:
        """What the parts say."""
        return self._chain.summary()

    @property
    def fingerprint(self) -> str:
        """Of the parts and their weights."""
        return hashlib.sha256(f"{self._chain.fingerprint} {self.weights}".encode()).hexdigest()[:16]

    def subset(self, rows: Sequence[int]) -> "Mixture":
        """Some rows of all parts, with the same weights; a part that has none of them drops out."""
        found: list[list[int]] = [[] for _ in self.parts]
        for row in rows:
            part = bisect_right(self.starts, row) - 1
            found[part].append(row - self.starts[part])
        kept = [i for i, own in enumerate(found) if own]
        return Mixture([subset(self.parts[i], found[i]) for i in kept], [self.weights[i] for i in kept])

    def order(self, seed: int, epoch: int) -> Rows:
        """An epoch's rows: whose turn it is by lot, and then that part's next row."""
        return _Turns(self, seed, epoch)

    def quotas(self, rows: int) -> list[int]:
        """How many of `rows` belong to each part: the sum is right, and none is off by one or more."""
        total = sum(self.weights)
        shares = [rows * weight / total for weight in self.weights]
        quotas = [int(share) for share in shares]
        for i in sorted(range(len(shares)), key=lambda i: quotas[i] - shares[i])[: rows - sum(quotas)]:
            quotas[i] += 1
        return quotas


def open_mixture(spec: str, opened: Callable[[str], Source]) -> Mixture:
    """`mix:3*A + 1*B`, or `mix:A + B`; A and B are whatever `opened` understands."""
    named = parts_of(spec)
    weights = [weight for weight, _ in named if weight is not None]
    return Mixture([opened(where) for _, where in named], weights or None)


def parts_of(spec: str) -> list[tuple[float | None, str]]:
    """The weight, if one is told, and the name of each part."""
    found = [re.fullmatch(r"(?:([0-9.]+)\*)?(\S.*)", part.strip()) for part in spec.partition(":")[2].split(" + ")]
    named = [(match[1], match[2]) for match in found if match]
    weighed = [weight for weight, _ in named if weight]
    if len(named) < len(found) or len(weighed) not in (0, len(named)):
        raise ValueError(f"{spec!r} should be 'mix:3*A + 1*B', a weight for each, or 'mix:A + B', for none")
    try:
        return [(float(weight) if weight else None, where) for weight, where in named]
    except ValueError as error:
        raise ValueError(f"{spec!r} has a weight that is no number: {error}") from error


class _Turns:
    """Whose turn it is, and how many turns of an epoch that part had before."""

    def __init__(self, mixture: Mixture, seed: int, epoch: int) -> None:
        self._mixture, self._seed, self._epoch = mixture, seed, epoch
        self._quotas = mixture.quotas(len(mixture))
        turns = torch.repeat_interleave(torch.arange(len(self._quotas)), torch.tensor(self._quotas)).short()
        self._turns = turns[permutation(len(turns), "turns", seed, epoch)]
        self._earlier = torch.empty(len(turns), dtype=torch.int64)
        for part, quota in enumerate(self._quotas):
            self._earlier[self._turns == part] = torch.arange(quota)
        self._orders: dict[int, tuple[int, Rows]] = {}  # part -> its own epoch, and the order of that

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, place: int, /) -> int:
        number = int(self._turns[place])
        part, start = self._mixture.parts[number], self._mixture.starts[number]
        passed = self._epoch * self._quotas[number] + int(self._earlier[place])
        epoch, cursor = divmod(passed, len(part))
        if number not in self._orders or self._orders[number][0] != epoch:
            seed = chance("part", self._seed, number).getrandbits(63)  # equal parts do not go in step
            self._orders[number] = epoch, order(part, seed, epoch)
        return start + self._orders[number][1][cursor]
