"""Batches for training, without end and in an order that can be taken up again anywhere.

    (seed, epoch, rank) ─ order ─ batches ─ the next epoch's order ...

A batch is a function of its position in that stream, so a position is all there is to save. Rows
that cannot be used are passed over, and a batch is filled from the rows after them.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chiasm.core.errors import MediaError
from chiasm.data.augment import Augment
from chiasm.data.batches import CAPTIONS, Batch, Form
from chiasm.data.images import ImageProcessor
from chiasm.data.order import ALONE, Ordered, Rows, Share, order, shuffled
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources.chance import chance
from chiasm.data.sources.record import Skipped, summary
from chiasm.data.text import Tokenizer

MEMORY = 1 << 30  # bytes of decoded pictures that are kept; larger data is decoded anew each epoch


@dataclass(frozen=True)
class Position:
    """How many rows of an epoch have been passed."""

    epoch: int = 0
    cursor: int = 0


@dataclass(frozen=True)
class _Row:
    id: str
    squares: Tensor  # uint8 [k, 3, r, r]
    words: Any  # what the form made of the pair's texts


class PairLoader:
    """Endless batches of exactly `batch` pairs, of the kind that `form` makes.

    While a batch is in use the next one is made, on another thread; pictures that fit into memory are
    decoded once.
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
        share: Share = ALONE,
    ) -> None:
        self.source, self.images, self.tokenizer = source, images, tokenizer
        self.batch, self.seed, self.form, self.augment, self.share = batch, seed, form, augment, share
        self.rows = len(source) // share.ranks
        if batch < 1 or self.rows < 1:
            raise ValueError(f"cannot make batches of {batch} for {share.ranks} processes from {len(source)} pairs")
        size = images.pixels.size if augment is None else augment.room(images.pixels.size)
        self._reader = replace(images, pixels=replace(images.pixels, size=size))
        self._keep = len(source) * 3 * size * size <= MEMORY
        self._held: dict[int, _Row] = {}
        self._skipped: dict[int, Skipped] = {}
        self._order: tuple[int, Rows] = (-1, ())
        self._position = Position()
        self._decoders = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: Future[tuple[Batch, Position]] | None = None

    @property
    def epoch_steps(self) -> int:
        """Batches in an epoch, rounded down."""
        return max(1, self.rows // self.batch)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The rows that were met and could not be used."""
        return tuple(self._skipped.values())

    def __iter__(self) -> "PairLoader":
        return self

    def __next__(self) -> Batch:
        made = self._next or self._maker.submit(self._make, self._position)
        self._next = None
        batch, self._position = made.result()
        self._next = self._maker.submit(self._make, self._position)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands after the batches that were taken."""
        position = self._position
        return {"epoch": position.epoch, "cursor": position.cursor, "source": self.source.fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; the pairs must still be the same."""
        if state["source"] != self.source.fingerprint:
            raise ValueError(
                f"the pairs have changed since this state was saved (fingerprint {state['source']} then, "
                f"{self.source.fingerprint} now): start anew, or bring the old pairs back"
            )
        self._position, self._next = Position(state["epoch"], state["cursor"]), None

    def _make(self, position: Position) -> tuple[Batch, Position]:
        """The batch at a position, and the position after it."""
        held = self._held if self._keep else {}
        rows: list[tuple[int, _Row]] = []  # epoch, row
        failed = 0
        while len(rows) < self.batch:
            asked: list[tuple[int, int]] = []
            for _ in range(self.batch - len(rows)):
                asked.append((position.epoch, self._rows(position.epoch)[position.cursor]))
                step = position.cursor + 1
                position = Position(position.epoch, step) if step < self.rows else Position(position.epoch + 1)
            self._read(sorted({row for _, row in asked} - held.keys() - self._skipped.keys()), held)
            good = [(epoch, held[row]) for epoch, row in asked if row in held]
            failed = 0 if good else failed + len(asked)
            if failed > 2 * self.rows + self.batch:  # then a whole epoch held nothing
                raise ValueError(f"none of {self.rows} pairs can be used: {summary(self.skipped)}")
            rows += good
        return self._collate(rows), position

    def _rows(self, epoch: int) -> Rows:
        """Our rows in the epoch's order; what is decoded once may come from anywhere."""
        if self._order[0] != epoch:
            free = self._keep and not isinstance(self.source, Ordered)
            where = (self.seed, epoch, self.share)
            self._order = (epoch, shuffled(len(self.source), *where) if free else order(self.source, *where))
        return self._order[1]

    def _read(self, rows: Sequence[int], held: dict[int, _Row]) -> None:
        """Put what can be used of some rows into `held`; name the rest."""
        pairs = [self.source[row] for row in rows]  # one after the other: a source need not know threads
        words = self.form.read(pairs, self.tokenizer)
        pictures = self._decoders.map(self._decode, rows, pairs)
        for row, pair, said, squares in zip(rows, pairs, words, pictures, strict=True):
            if isinstance(squares, str) or isinstance(said, str):
                self._skipped[row] = Skipped(pair.id, said if isinstance(said, str) else squares)
            else:
                held[row] = _Row(pair.id, squares, said)

    def _decode(self, row: int, pair: Pair) -> Tensor | str:
        try:
            return torch.stack([self._reader.read(picture, index=row) for picture in self.form.pictures(pair)])
        except MediaError as error:
            return error.reason

    def _collate(self, rows: Sequence[tuple[int, _Row]]) -> Batch:
        squares = torch.stack([self._view(epoch, row) for epoch, row in rows])
        images = self.images.normalise(squares.flatten(0, 1)).view(squares.shape)
        return self.form.batch(images, [row.words for _, row in rows], self.tokenizer.markers.pad)

    def _view(self, epoch: int, row: _Row) -> Tensor:
        if self.augment is None:
            return row.squares
        rng, size = chance("view", self.seed, epoch, row.id), self.images.pixels.size
        return torch.stack([self.augment(square, size, rng) for square in row.squares])
