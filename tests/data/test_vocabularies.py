"""Tokenizers of language models: the same tokens and the same words as `transformers` has of the same file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests import vocabularies
from transformers import PreTrainedTokenizerFast

from chiasm.data.text import Tokenizer

SAID = ["a photo of", "Question: what is naïve? Answer:", "", "blue", " two  cats\n", "日本"]
AROUND = {vocabularies.opt: (2, None), vocabularies.llama: (2, None), vocabularies.t5: (None, 1)}


@pytest.mark.parametrize("made", AROUND)
def test_tokens_and_words_are_those_of_transformers(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path = made(tmp_path)
    ours, theirs = Tokenizer.load(path), PreTrainedTokenizerFast(tokenizer_file=str(path))
    assert (ours.vocab, ours.around, ours.framed) == (len(theirs), AROUND[made], False)
    for text, row in zip(SAID, ours.ids(SAID), strict=True):
        assert row == theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(row) == theirs.decode(row, skip_special_tokens=True).strip()
        if made is not vocabularies.t5 or text != "日本":  # which T5's pieces do not know
            assert ours.decode(row).split() == text.split()
    again = Tokenizer.load(ours.save(tmp_path / "own.json") or tmp_path / "own.json")
    assert again.ids(SAID) == ours.ids(SAID)
    assert again.around == ours.around


@pytest.mark.parametrize("made", AROUND)
def test_words_that_follow_others_are_those_of_the_whole_text(made: Callable[[Path], Path], tmp_path: Path) -> None:
    ours = Tokenizer.load(made(tmp_path))
    for text, row in zip(["blue", "a red star", "no"], ours.following(["blue", "a red star", "no"]), strict=True):
        assert ours.ids(["Answer:"])[0] + row == ours.ids([f"Answer: {text}"])[0]


@pytest.mark.parametrize("made", AROUND)
def test_what_no_vocabulary_has_is_left_out(made: Callable[[Path], Path], tmp_path: Path) -> None:
    """A language model's matrix has more rows than its tokenizer has words; and 0 is a token that no text has."""
    ours = Tokenizer.load(made(tmp_path))
    (row,) = ours.ids(["a red star"])
    assert ours.decode([0, *row[:1], ours.vocab, *row[1:], ours.vocab + 99]) == "a red star"
    assert ours.decode([0, ours.vocab]) == ""
