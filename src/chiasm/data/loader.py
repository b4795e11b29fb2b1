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
from random import Random
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from chiasm.core import ranks
from chiasm.core.ability import Watches
from chiasm.core.errors import MediaError
from chiasm.data.augment import Augment
from chiasm.data.batches import CAPTIONS, Batch, Form, Varies
from chiasm.data.images import ImageProcessor
from chiasm.data.order import Ordered, Rows, order, shuffled
from chiasm.data.pairs import Pair, Source, Unread
from chiasm.data.sources.chance import chance
from chiasm.data.sources.record import Skipped, summary, summary_of
from chiasm.data.text import Tokenizer

MEMORY = 1 << 30  # bytes of decoded pictures that are kept; larger data is decoded anew each epoch


@dataclass(frozen=True)
class Share:
    """Which part of a batch is ours, when several processes train together."""

    rank: int = field(default_factory=ranks.rank)
    ranks: int = field(default_factory=ranks.world)


@runtime_checkable
class Shows(Protocol):
    """What pairs show, on its way to batches: `perceive.Senses`, or pictures, for which a loader has one of its own."""

    @property
    def bytes(self) -> int:
        """That what a row shows takes, at most."""
        ...

    def decode(self, row: int, pair: Pair, /) -> Any:
        """What may be kept of a row; what is wrong with it is a `MediaError` that names the row."""
        ...

    def view(self, decoded: Any, rng: Random, /) -> Any:
        """How it is seen in one epoch."""
        ...

    def together(self, views: Sequence[Any], /) -> Any:
        """Of some rows, as a form's `batch` takes it."""
        ...


@dataclass(frozen=True)
class _Row:
    id: str
    decoded: Any
    words: Any  # what the form made of the pair's texts


@dataclass(frozen=True)
class _Squares:
    """As many pictures a row as a form asks for: uint8 `[k, 3, r, r]` until they are put together."""

    images: ImageProcessor
    form: Form
    augment: Augment | None

    @property
    def bytes(self) -> int:
        return 3 * self._room * self._room

    def decode(self, row: int, pair: Pair) -> Tensor:
        reader = replace(self.images, pixels=replace(self.images.pixels, size=self._room))
        squares = [reader.read(picture, index=row) for picture in self.form.pictures(pair)]
        return torch.stack(squares) if squares else torch.empty(0, 3, 1, 1, dtype=torch.uint8)

    def view(self, decoded: Tensor, rng: Random) -> Tensor:
        if self.augment is None:
            return decoded
        return torch.stack([self.augment(square, self.images.pixels.size, rng) for square in decoded])

    def together(self, views: Sequence[Tensor]) -> Tensor:
        squares = torch.stack([*views])
        return self.images.normalise(squares.flatten(0, 1)).view(squares.shape)

    @property
    def _room(self) -> int:
        size = self.images.pixels.size
        return size if self.augment is None else self.augment.room(size)


class PairLoader:
    """Endless batches of exactly `batch` pairs, of the kind that `form` makes of texts and of what they show.

    Each of several processes gets its part of them. While a batch is in use the next one is made, on
    another thread; what fits into memory is decoded once. Only pictures are augmented.
    """

    def __init__(
        self,
        source: Source,
        images: ImageProcessor | Shows,
        tokenizer: Tokenizer,
        *,
        batch: int,
        seed: int,
        form: Form = CAPTIONS,
        augment: Augment | None = None,
        share: Share | None = None,  # None: as many processes as train together
    ) -> None:
        self.source, self.tokenizer, self.batch, self.seed, self.form = source, tokenizer, batch, seed, form
        self.shows = _Squares(images, form, augment) if isinstance(images, ImageProcessor) else images
        self.share = share or Share()
        if batch < 1 or len(source) < 1:
            raise ValueError(f"cannot make batches of {batch} from {len(source)} pairs")
        self.part, left = divmod(batch, self.share.ranks)
        if left:
            raise ValueError(
                f"a batch of {batch} pairs cannot be cut into equal parts for {self.share.ranks} processes: "
                f"make it a multiple of {self.share.ranks}, or start another number of processes"
            )
        self._keep = len(source) * self.shows.bytes <= MEMORY
        self._held: dict[int, _Row] = {}
        self._skipped: dict[int, Skipped] = {}
        self._order: tuple[int, Rows] = (-1, ())
        self._passed = 0  # rows of our parts, in all epochs
        self._decoders = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._met = 0  # of those skipped, which stand in the order in which they were met
        self._next: Future[tuple[Batch, int, int]] | None = None

    @property
    def epoch_steps(self) -> int:
        """Batches in an epoch, rounded down."""
        return max(1, len(self.source) // self.batch)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The rows that were met in the batches that were taken, and could not be used."""
        return (*self._skipped.values(),)[: self._met]  # the next batch may add to them meanwhile

    def summary(self) -> str:
        """What the source holds, and what it left out."""
        return summary_of(self.source)

    def __iter__(self) -> "PairLoader":
        return self

    def __next__(self) -> Batch:
        made = self._next or self._maker.submit(self._make, self._passed)
        self._next = None
        batch, self._passed, self._met = made.result()
        self._next = self._maker.submit(self._make, self._passed)
        return batch

    def watch(self, model: nn.Module) -> None:
        """Show pairs as this model sees them, if they are shown as any does."""
        if isinstance(self.shows, Watches):
            self.shows.watch(model)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands after the batches that were taken."""
        skipped = {str(row): [one.id, one.reason] for row, one in [*self._skipped.items()][: self._met]}
        return {"passed": self._passed, "source": self.source.fingerprint, "skipped": skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; the pairs must still be the same."""
        if state["source"] != self.source.fingerprint:
            raise ValueError(
                f"the pairs have changed since this state was saved (fingerprint {state['source']} then, "
                f"{self.source.fingerprint} now): start anew, or bring the old pairs back"
            )
        self._skipped = {int(row): Skipped(*told) for row, told in state.get("skipped", {}).items()}
        self._passed, self._met, self._next = state["passed"], len(self._skipped), None

    def _make(self, passed: int) -> tuple[Batch, int, int]:
        """Our part of a batch, and how many rows of ours have been passed, and how many of them skipped, after it."""
        held = self._held if self._keep else {}
        rows: list[tuple[int, _Row]] = []  # epoch, row
        while len(rows) < self.part:
            asked = [self._ours(place) for place in range(passed, passed + self.part - len(rows))]
            passed += len(asked)
            self._read(sorted({row for _, row in asked} - held.keys() - self._skipped.keys()), held)
            if len(self._skipped) == len(self.source):
                raise ValueError(f"none of {len(self.source)} pairs can be used: {summary(self._skipped.values())}")
            rows += [(epoch, held[row]) for epoch, row in asked if row in held]
        return self._collate(rows), passed, len(self._skipped)

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
        shown = self._decoders.map(self._decode, rows, pairs)
        for row, pair, said, decoded in zip(rows, pairs, words, shown, strict=True):
            lost = isinstance(pair.image, Unread)  # and the text, perhaps, with it
            if isinstance(said, str) and not lost:
                self._skipped[row] = Skipped(pair.id, said)
            elif isinstance(decoded, MediaError):
                self._skipped[row] = Skipped(pair.id, decoded.reason)
            else:
                held[row] = _Row(pair.id, decoded, said)

    def _decode(self, row: int, pair: Pair) -> Any:
        try:
            return self.shows.decode(row, pair)
        except MediaError as error:
            return error

    def _collate(self, rows: Sequence[tuple[int, _Row]]) -> Batch:
        views = [self.shows.view(row.decoded, chance("view", self.seed, epoch, row.id)) for epoch, row in rows]
        words = [self._words(epoch, row) for epoch, row in rows]
        return self.form.batch(self.shows.together(views), words, self.tokenizer.pad)

    def _words(self, epoch: int, row: _Row) -> Any:
        if not isinstance(self.form, Varies):
            return row.words
        return self.form.vary(row.words, chance("words", self.seed, epoch, row.id))
