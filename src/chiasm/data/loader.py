"""Batches for training, without end and in an order that can be taken up again anywhere.

    (seed, epoch) ─ order ─ the next epoch's order ... ─ batches ─ our part of each

A batch is a function of its position in that stream, so a position is all there is to save. Rows
that cannot be used are passed over, and a batch is filled from the rows after them. Processes that
train together cut each batch into equal parts, one after the other, so their number does not
change what is learned from; but each fills up from rows of its own.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from chiasm.core import ranks
from chiasm.core.errors import MediaError
from chiasm.data.augment import Augment
from chiasm.data.batches import CAPTIONS, Batch, Form, Varies
from chiasm.data.images import ImageProcessor
from chiasm.data.order import Ordered, Rows, order, shuffled
from chiasm.data.pairs import Pair, Source, Unread
from chiasm.data.sources.chance import chance
from chiasm.data.sources.record import Skipped, summary
from chiasm.data.text import Tokenizer

MEMORY = 1 << 30  # bytes of decoded pictures that are kept; larger data is decoded anew each epoch


@dataclass(frozen=True)
class Share:
    """Which part of a batch is ours, when several processes train together."""

    rank: int = field(default_factory=ranks.rank)
    ranks: int = field(default_factory=ranks.world)


@dataclass(frozen=True)
class _Row:
    id: str
    squares: Tensor  # uint8 [k, 3, r, r]
    words: Any  # what the form made of the pair's texts


class PairLoader:
    """Endless batches of exactly `batch` pairs, of the kind that `form` makes.

    Each of several processes gets its part of them. While a batch is in use the next one is made, on
    another thread; pictures that fit into memory are decoded once.
    """

    def __init__(
        self,
        source: Source,
        images: ImageProcessor,
        tokenizer: Tokenizer,
        *,
        batch: int,
        seed: int,
        form: Form = CAPTIONS,
        augment: Augment | None = None,
        share: Share | None = None,  # None: as many processes as train together
    ) -> None:
        self.source, self.images, self.tokenizer = source, images, tokenizer
        self.batch, self.seed, self.form, self.augment = batch, seed, form, augment
        self.share = share or Share()
        if batch < 1 or len(source) < 1:
            raise ValueError(f"cannot make batches of {batch} from {len(source)} pairs")
        self.part, left = divmod(batch, self.share.ranks)
        if left:
            raise ValueError(
                f"a batch of {batch} pairs cannot be cut into equal parts for {self.share.ranks} processes: "
                f"make it a multiple of {self.share.ranks}, or start another number of processes"
            )
        size = images.pixels.size if augment is None else augment.room(images.pixels.size)
        self._reader = replace(images, pixels=replace(images.pixels, size=size))
        self._keep = len(source) * 3 * size * size <= MEMORY
        self._held: dict[int, _Row] = {}
        self._skipped: dict[int, Skipped] = {}
        self._order: tuple[int, Rows] = (-1, ())
        self._passed = 0  # rows of our parts, in all epochs
        self._decoders = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: Future[tuple[Batch, int]] | None = None

    @property
    def epoch_steps(self) -> int:
        """Batches in an epoch, rounded down."""
        return max(1, len(self.source) // self.batch)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The rows that were met and could not be used."""
        return tuple(self._skipped.values())

    def __iter__(self) -> "PairLoader":
        return self

    def __next__(self) -> Batch:
        made = self._next or self._maker.submit(self._make, self._passed)
        self._next = None
        batch, self._passed = made.result()
        self._next = self._maker.submit(self._make, self._passed)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands after the batches that were taken."""
        return {"passed": self._passed, "source": self.source.fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; the pairs must still be the same."""
        if state["source"] != self.source.fingerprint:
            raise ValueError(
                f"the pairs have changed since this state was saved (fingerprint {state['source']} then, "
                f"{self.source.fingerprint} now): start anew, or bring the old pairs back"
            )
        self._passed, self._next = state["passed"], None

    def _make(self, passed: int) -> tuple[Batch, int]:
        """Our part of a batch, and how many rows of ours have been passed after it."""
        held = self._held if self._keep else {}
        rows: list[tuple[int, _Row]] = []  # epoch, row
        while len(rows) < self.part:
            asked = [self._ours(place) for place in range(passed, passed + self.part - len(rows))]
            passed += len(asked)
            self._read(sorted({row for _, row in asked} - held.keys() - self._skipped.keys()), held)
            if len(self._skipped) == len(self.source):
                raise ValueError(f"none of {len(self.source)} pairs can be used: {summary(self.skipped)}")
            rows += [(epoch, held[row]) for epoch, row in asked if row in held]
        return self._collate(rows), passed

    def _ours(self, place: int) -> tuple[int, int]:
        """The epoch and the row of what is at a place among our parts."""
        batch, within = divmod(place, self.part)
        epoch, place = divmod(batch * self.batch + self.share.rank * self.part + within, len(self.source))
        if self._order[0] != epoch:
            # what is decoded once may come from anywhere
            free = self._keep and not isinstance(self.source, Ordered)
            self._order = (epoch, (shuffled if free else order)(self.source, self.seed, epoch))
        return epoch, self._order[1][place]

    def _read(self, rows: Sequence[int], held: dict[int, _Row]) -> None:
        """Put what can be used of some rows into `held`; name the rest."""
        pairs = [self.source[row] for row in rows]  # one after the other: a source need not know threads
        words = self.form.read(pairs, self.tokenizer)
        pictures = self._decoders.map(self._decode, rows, pairs)
        for row, pair, said, squares in zip(rows, pairs, words, pictures, strict=True):
            lost = isinstance(pair.image, Unread)  # and the text, perhaps, with it
            if isinstance(said, str) and not lost:
                self._skipped[row] = Skipped(pair.id, said)
            elif isinstance(squares, str):
                self._skipped[row] = Skipped(pair.id, squares)
            else:
                held[row] = _Row(pair.id, squares, said)

    def _decode(self, row: int, pair: Pair) -> Tensor | str:
        try:
            squares = [self._reader.read(picture, index=row) for picture in self.form.pictures(pair)]
            return torch.stack(squares) if squares else torch.empty(0, 3, 1, 1, dtype=torch.uint8)
        except MediaError as error:
            return error.reason

    def _collate(self, rows: Sequence[tuple[int, _Row]]) -> Batch:
        squares = torch.stack([self._view(epoch, row) for epoch, row in rows])
        images = self.images.normalise(squares.flatten(0, 1)).view(squares.shape)
        return self.form.batch(images, [self._words(epoch, row) for epoch, row in rows], self.tokenizer.pad)

    def _words(self, epoch: int, row: _Row) -> Any:
        if not isinstance(self.form, Varies):
            return row.words
        return self.form.vary(row.words, chance("words", self.seed, epoch, row.id))

    def _view(self, epoch: int, row: _Row) -> Tensor:
        if self.augment is None:
            return row.squares
        rng, size = chance("view", self.seed, epoch, row.id), self.images.pixels.size
        return torch.stack([self.augment(square, size, rng) for square in row.squares])
