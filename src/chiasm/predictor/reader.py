"""Pictures and strings on their way to a module, in batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chiasm.core.ability import EmbedsImages, EmbedsText, Instructs, Picture, Sees
from chiasm.core.errors import AbilityError, check_whole
from chiasm.core.results import Ranking
from chiasm.core.types import Frames, Text, Waves
from chiasm.data.clips import apart, together
from chiasm.data.images import ImageProcessor
from chiasm.data.perceive import wanted
from chiasm.data.prompts import Prompter, hint
from chiasm.data.text import Tokenizer


class Reader:
    """What every verb begins with: a module that has seen some pictures or read some texts.

    `words` may be a way to a tokenizer, which is gone when a text comes; so may `hints`, which is the Q-Formers'.
    """

    def __init__(
        self,
        module: nn.Module,
        images: ImageProcessor,
        words: Tokenizer | Callable[[], Tokenizer],
        *,
        hints: Tokenizer | Callable[[], Tokenizer],
        longest: int,
    ) -> None:
        self.module, self.images, self.words, self.hints = module, images, words, hints
        self.longest = longest  # tokens of a text
        self.truncate = False  # texts that are longer

    @property
    def weight(self) -> Tensor:
        """Any parameter: it tells where the module lies, and in which precision."""
        return next(self.module.parameters())

    @property
    def tokenizer(self) -> Tokenizer:
        if not isinstance(self.words, Tokenizer):
            self.words = self.words()
        return self.words

    @property
    def hinting(self) -> Tokenizer:
        """What the words of Q-Formers are found by."""
        if not isinstance(self.hints, Tokenizer):
            self.hints = self.hints()
        return self.hints

    def prompter(self, module: Instructs) -> Prompter:
        """What makes prompts for the module."""
        return Prompter(self.tokenizer, module.wording, module.cues, self.hinting if module.hinted else None)

    def see(self, pictures: Sequence[Picture], batch: int) -> Iterator[tuple[slice, Float[Tensor, "b p c"]]]:
        """The rows of a batch, and what the module makes of their pictures; no pictures are one empty batch.

        A picture that stands in several rows of a batch, as the same object, is read and seen once.
        The states of several pictures that count as one lie in a row.
        """
        module = self.module
        if not isinstance(module, Sees):
            raise AbilityError(f"a {type(module).__name__} has no weights to see pictures with")
        frames = together(pictures)
        check_whole("batch_size", batch, least=1)
        for rows in slices(len(pictures), max(1, batch // frames)):
            first: dict[int, int] = {}
            for i, picture in enumerate(pictures[rows], rows.start):
                first.setdefault(id(picture), i)
            squares = [self.images.read(one, index=i) for i in first.values() for one in apart(pictures[i], i)]
            values = self.images.normalise(torch.stack(squares)) if squares else self.images([])
            states = module.see(values.to(self.weight))
            seen = states.unflatten(0, (-1, frames)).flatten(1, 2) if frames > 1 else states
            order = {key: place for place, key in enumerate(first)}
            again = len(first) < rows.stop - rows.start
            yield rows, seen[[order[id(picture)] for picture in pictures[rows]]] if again else seen

    def perceive(self, module: Instructs, sense: str, things: Sequence[Any]) -> list[Float[Tensor, "f p c"]]:
        """The states of some things that are shown to one sense, each with its own number of frames."""
        media = module.media[sense]
        # sounds are heard to their end; and only pictures may lose precision before their encoder does it itself
        reader = wanted(replace(media, clips=None) if isinstance(media, Waves) else media, self.images)
        kind = self.weight if isinstance(media, Frames) else self.weight.device
        frames = (reader.read(thing, index=index).to(kind) for index, thing in enumerate(things))
        return [module.perceive(sense, each[None])[0] for each in frames]

    def read(self, texts: Sequence[str]) -> Text:
        """Token ids; a text for which the module has no positions is an error, or is cut off if that was asked for."""
        text = self.tokenizer.encode([*texts] or [""], max_length=self.longest if self.truncate else None)
        if text.ids.shape[1] > self.longest:
            length, place = (int(one) for one in text.mask.sum(dim=1).max(dim=0))
            raise ValueError(
                f"a text has {length} tokens, but the model reads at most {self.longest}: shorten it, or have texts "
                f"cut off (model.truncate = True, --truncate): {texts[place][:40]!r}..."
            )
        return text[: len(texts)].to(self.weight.device)

    def hint(self, module: Instructs, texts: Sequence[str]) -> Text:
        """What Q-Formers are told, in their own words."""
        text = hint(self.hinting, [*texts] or [""], longest=module.wording.longest if self.truncate else None)
        return text[: len(texts)].to(self.weight.device)

    def opening(self, prompts: Sequence[str], new: int) -> Text:
        """What captions of at most `new` more tokens begin with."""
        text = self.tokenizer.prompt(prompts)
        if (width := text.ids.shape[1]) + new > self.longest:
            raise ValueError(f"{new} new tokens after a prompt of {width}, but the model takes {self.longest} in all")
        return text.to(self.weight.device)

    def embed_images(self, module: EmbedsImages, pictures: Sequence[Picture], batch: int) -> Float[Tensor, "n *q d"]:
        """A unit vector for each picture, or several."""
        frames = together(pictures)
        return torch.cat([module.embed_seen(whole(seen, frames)) for _, seen in self.see(pictures, batch)])

    def embed_texts(self, module: EmbedsText, texts: Sequence[str], batch: int) -> Float[Tensor, "n d"]:
        """A unit vector for each text."""
        return torch.cat([module.embed_text(self.read(texts[rows])) for rows in slices(len(texts), batch)])


def slices(rows: int, batch: int) -> list[slice]:
    """`rows` in batches; none of them are one empty batch, so that answers about nothing have their shape."""
    check_whole("batch_size", batch, least=1)
    return [slice(start, min(start + batch, rows)) for start in range(0, max(rows, 1), batch)]


def ranked(items: Sequence[Any], scores: Float[Tensor, " n"], places: Sequence[int] | None = None) -> Ranking[Any]:
    """Best first; of equals, the first given."""
    order: list[int] = scores.argsort(descending=True, stable=True).tolist()
    where = order if places is None else [places[i] for i in order]
    return Ranking(tuple(items[i] for i in where), tuple(where), tuple(scores[order].tolist()))


def whole(seen: Float[Tensor, "b n c"], frames: int) -> Float[Tensor, "b p c"]:
    """The states of several frames that lie in a row as those of one picture: their mean.

    A projection of the mean is the mean of the projections, by which BLIP embeds a video.
    """
    return seen.unflatten(1, (frames, -1)).mean(dim=1) if frames > 1 else seen
