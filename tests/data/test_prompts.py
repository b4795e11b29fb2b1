"""Prompts as the families have them, token by token."""

from dataclasses import replace

import pytest

from chiasm.core.types import Wording
from chiasm.data.prompts import Prompter, Said, Shown, Told
from chiasm.data.text import Tokenizer

WORDS = Tokenizer.builtin()
OPT = Wording(start=2, close=None, end=9, pad=1)
T5 = Wording(start=None, close=8, end=8, pad=0)
X = replace(OPT, before="user:", after="assistant:")
CUES = {"image": "", "audio": "sound:"}


def spelled(tokens: list[int]) -> str:
    return " ".join(f"<{token}>" if token < 10 else WORDS.decode([token]) for token in tokens)


@pytest.mark.parametrize(
    ("wording", "shown", "text", "expected"),
    [
        (OPT, ["image"], "a photo of", "<-1> <2> a photo of"),
        (OPT, ["image"], "", "<-1> <2>"),
        (T5, ["image"], "a photo of", "<-1> a photo of <8>"),
        (OPT, [], "a photo of", "<2> a photo of"),
    ],
)
def test_a_picture_stands_before_the_words(wording: Wording, shown: list[str], text: str, expected: str) -> None:
    prompter = Prompter(WORDS, wording, CUES)
    assert spelled(prompter.tokens(prompter.turn(shown, text))) == expected


def test_words_around_and_cues_before() -> None:
    prompter, wanted = Prompter(WORDS, X, CUES), ["image", "audio"]
    tokens = prompter.tokens(prompter.turn(wanted, "which"))
    start, *rest = tokens
    assert start == 2
    assert WORDS.decode([token for token in rest if token >= 0]) == "user : sound : which assistant :"
    assert [token for token in rest if token < 0] == [-1, -2]
    assert (
        rest.index(-1)
        < rest.index(WORDS.ids(["sound"])[0][0])
        < rest.index(-2)
        < rest.index(WORDS.ids(["which"])[0][0])
    )


def test_what_is_told_stands_where_it_would_be_shown() -> None:
    prompter = Prompter(WORDS, OPT, {"image": "", "audio": "the "})
    told = prompter.turn([Told("audio", "red star"), "image"], "of")
    assert spelled(prompter.tokens(told)) == "<2> the red star <-1> of"
    with pytest.raises(ValueError, match="the model has no sense for points: it has image, audio"):
        prompter.tokens([Told("points", "a red star")])


def test_what_was_said_ends_as_it_did() -> None:
    tokens = Prompter(WORDS, OPT, CUES).tokens(["a", Shown("image"), Said("red"), "the"])
    assert spelled(tokens) == "<2> a <-1> red <9> the"


@pytest.mark.parametrize(("longest", "expected"), [(5, "<-1> <2> red circle <8>"), (4, "<-1> <2> circle <8>")])
def test_the_first_words_go(longest: int, expected: str) -> None:
    prompter = Prompter(WORDS, replace(OPT, close=8), CUES)
    assert spelled(prompter.tokens([Shown("image"), "a red circle"], longest=longest)) == expected


def test_rows_and_hints() -> None:
    prompter = Prompter(WORDS, OPT, CUES, WORDS)
    prompt = prompter([[Shown("image"), "a red circle"], ["the"]], ["a red circle", "the"], longest=4)
    assert prompt.words.mask.int().tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert prompt.words.ids[1].tolist() == [1, 1, 2, *WORDS.ids(["the"])[0]]
    assert prompt.hint is not None
    assert [spelled(row[mask].tolist()) for row, mask in zip(prompt.hint.ids, prompt.hint.mask, strict=True)] == [
        "<2> red circle <3>",
        "<2> the <3>",
    ]
    said = prompter.said(["red circle", "the"], longest=2)
    assert [spelled(row.tolist()) for row in said.ids] == ["red <9>", "the <9>"]


def test_an_unknown_sense_is_told() -> None:
    with pytest.raises(ValueError, match="no sense for smell: it has image, audio"):
        Prompter(WORDS, OPT, CUES).tokens([Shown("smell")])
