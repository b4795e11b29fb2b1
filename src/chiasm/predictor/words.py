"""The tokenizers of a model that brings none: those of its family, fetched when the first text comes."""

from collections.abc import Callable

from chiasm.data.text import Tokenizer
from chiasm.predictor.catalogue import systems
from chiasm.predictor.parts import hints_of, vocab_of
from chiasm.weights.folder import ModelCard
from chiasm.weights.hub import fetch_words

HINT = "give it one as tokenizer= (--tokenizer), the path of a tokenizer.json, a name on the hub or a Tokenizer"


def usual_tokenizer(card: ModelCard, *, token: str | None = None, offline: bool = False) -> Tokenizer:
    """The family's, where a model has as many words as that; raises with what to do where there is none to be had."""
    return _usual(card, vocab_of(card.config), token=token, offline=offline)


def usual_hints(
    card: ModelCard, own: Callable[[], Tokenizer], *, token: str | None = None, offline: bool = False
) -> Tokenizer:
    """That of the Q-Formers: the model's `own` where they know as many words as the model, else their family's."""
    if (words := hints_of(card.config)) == vocab_of(card.config):
        return own()
    return _usual(card, words, token=token, offline=offline)


def _usual(card: ModelCard, words: int, *, token: str | None, offline: bool) -> Tokenizer:
    usual = systems()[card.system].vocabulary
    if usual is None:
        raise ValueError(f"this model brings no tokenizer: {HINT}")
    if usual.words != words:
        raise ValueError(
            f"this model brings no tokenizer: {HINT}; that of its family, {usual.name}, has {usual.words} words "
            f"and the model {words}"
        )
    try:
        return Tokenizer.load(fetch_words(usual.name, revision=usual.revision, token=token, offline=offline))
    except ValueError as error:
        raise ValueError(f"this model brings no tokenizer, and its family's cannot be had: {error}; {HINT}") from error
