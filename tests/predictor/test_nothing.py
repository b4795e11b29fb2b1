"""Nothing in, nothing out: of every verb of every small model."""

from collections.abc import Callable, Mapping
from itertools import chain

import numpy as np
import pytest
from torch import Tensor

import chiasm
from chiasm import Match
from chiasm.core.ability import EmbedsImages, EmbedsText, Judges, Reads
from chiasm.predictor.verbs import Predictor

TINY = [
    f"{name}/{preset}" for name, info in chiasm.catalogue().items() for preset in info.presets if preset[:4] == "tiny"
]
PICTURE = np.zeros((9, 9, 3), dtype=np.uint8)
Asked = Callable[[Predictor], object]
ASKED: Mapping[str, tuple[Asked, ...]] = {
    "caption": (
        lambda model: model.caption([]),
        lambda model: model.caption([], "a"),
        lambda model: model.caption((), prompt=[]),
        lambda model: model.caption([], prompt=()),
        lambda model: model.caption([], strategy="beam", num_return_sequences=2),
        lambda model: model.caption([], strategy="nucleus", seed=3),
        lambda model: model.caption([], strategy="nucleus", seed=[], num_return_sequences=2),
    ),
    "answer": (
        lambda model: model.answer([], []),
        lambda model: model.answer([], "a"),
        lambda model: [] if isinstance(model.module, Judges) else model.answer(PICTURE, []),
        lambda model: model.answer([], [], strategy="beam"),
        lambda model: [] if isinstance(model.module, Judges) else model.answer([], [], ["b"]),
    ),
    "match": (
        lambda model: model.match([], []),
        lambda model: model.match([], "a"),
        lambda model: model.match(PICTURE, []),
    ),
    "classify": (lambda model: model.classify([], ["a", "b"]),),
    "rerank": (lambda model: model.rerank("a", []).items, lambda model: model.rerank(PICTURE, []).items),
    "embed": (
        lambda model: model.embed(images=[]) if isinstance(model.module, EmbedsImages) else [],
        lambda model: model.embed(texts=[]) if isinstance(model.module, EmbedsText) else [],
    ),
    "features": (
        lambda model: model.features(images=[]),
        lambda model: model.features(texts=[]) if isinstance(model.module, Reads) else [],
        lambda model: model.features(images=[], texts=[]) if isinstance(model.module, Reads) else [],
    ),
    "chat": (),  # nobody speaks of nothing
}


def sizes(found: object) -> set[int]:
    """How much there is in an answer."""
    match found:
        case Tensor() | list() | tuple():
            return {len(found)}
        case Match():
            return set(chain.from_iterable(map(sizes, vars(found).values())))
        case Mapping():
            return set(chain.from_iterable(map(sizes, found.values())))
        case _:
            return set()


@pytest.mark.parametrize("name", TINY)
def test_nothing_is_made_of_nothing(name: str) -> None:
    model = chiasm.create(name, device="cpu")
    for verb in model.abilities:
        for number, ask in enumerate(ASKED[verb]):
            assert sizes(ask(model)) == {0}, (verb, number)
