"""Instructions: what a row becomes in which epoch, and the batch it stands in."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from chiasm.core.types import Instructed, Pixels, Worded, Wording
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Behind, Continuations, Halves, Instructions, Sensed, Texts
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair
from chiasm.data.prompts import Prompter
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import subset
from chiasm.data.text import Tokenizer

WORDS = Tokenizer.builtin()
PROMPTER = Prompter(WORDS, Wording(start=2, close=None, end=3, pad=0), {"image": ""}, WORDS)
SQUARE = np.zeros((8, 8, 3), np.uint8)
TOLD = Pair("a", SQUARE, "A red circle.")
ASKED = Pair("b", SQUARE, "", {"question": "what colour?", "answers": {"red": 3, "orange": 1}})
FORM = Instructions(PROMPTER, describe=("a photo of", "what is this?"), ask=("question: {} answer:", "{}"))


def test_templates_and_answers_are_drawn_as_often_as_they_should_be() -> None:
    told, asked = FORM.read([TOLD, ASKED], WORDS)
    drawn = Counter(FORM.vary(told, chance("t", i)) for i in range(400))
    assert drawn.keys() == {("a photo of", "a red circle"), ("what is this?", "a red circle")}
    assert min(drawn.values()) > 150
    drawn = Counter(FORM.vary(asked, chance("t", i)) for i in range(400))
    assert {question for question, _ in drawn} == {"question: what colour? answer:", "what colour?"}
    assert 0.65 < sum(count for (_, said), count in drawn.items() if said == "red") / 400 < 0.85


@pytest.mark.parametrize(
    ("pair", "why"),
    [(Pair("c", SQUARE, " . "), "no text"), (Pair("d", SQUARE, "", {"answers": ["red"]}), "no question")],
)
def test_what_cannot_be_used_is_told(pair: Pair, why: str) -> None:
    assert FORM.read([pair], WORDS) == [why]


def test_every_place_of_a_text_is_cut_as_often() -> None:
    form = Continuations(PROMPTER)
    words, alone, nothing = form.read([TOLD, Pair("c", SQUARE, "circle"), Pair("d", SQUARE, "")], WORDS)
    drawn = Counter(form.vary(words, chance("t", i)) for i in range(400))
    assert drawn.keys() == {("a", "red circle"), ("a red", "circle")}
    assert min(drawn.values()) > 150
    assert form.vary(alone, chance("t")) == ("", "circle")
    assert nothing == "no text"


def test_an_answer_is_what_stands_behind_its_word() -> None:
    cut = Behind("answer")
    assert cut.vary(["which", "answer", "the", "answer"], chance("t")) == ("which answer", "the answer")
    assert cut.vary(["a", "red", "circle"], chance("t")) == ("", "a red circle")


class _Two:
    fingerprint = "two"

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Pair:
        return (TOLD, ASKED)[index]


def test_a_loader_makes_another_batch_in_another_epoch_and_the_same_again() -> None:
    images = ImageProcessor(Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD))
    loader, again = (PairLoader(_Two(), images, WORDS, batch=2, seed=0, form=FORM) for _ in range(2))
    batches = [next(loader) for _ in range(6)]
    assert all(isinstance(batch, Instructed) for batch in batches)
    texts = [[WORDS.decode([i for i in row if i >= 0]) for row in batch.prompt.words.ids.tolist()] for batch in batches]
    assert len({text for batch in texts for text in batch}) == 4
    assert texts == [
        [WORDS.decode([i for i in row if i >= 0]) for row in next(again).prompt.words.ids.tolist()] for _ in range(6)
    ]
    batch = batches[0].to("cpu")
    assert batch.shown["image"].shape == (2, 1, 3, 8, 8)
    assert len(batch.prompt) == len(batch) == 2
    assert (batch.prompt.words.ids == -1).sum(dim=1).tolist() == [1, 1]


def test_what_is_told_stands_among_what_is_shown() -> None:
    """A thing that is shown or told, in the order of the tag, before the question."""
    told = Sensed(Instructions(replace(PROMPTER, cues={"image": "seen:", "audio": "heard:"})))
    tags = {"question": "which?", "answers": ["it"], "senses": ["image"]}
    beside = Pair("a", SQUARE, "", tags | {"things": ["image", ["audio", "a star"]]})
    rows = [told.vary(row, chance("t")) for row in told.read([beside, Pair("b", SQUARE, "", tags)], WORDS)]
    batch = told.batch({"image": torch.zeros(2, 1, 3, 8, 8)}, rows, 0)
    assert [WORDS.decode([i for i in row if i >= 0]) for row in batch.prompt.words.ids.tolist()] == [
        "seen : heard : a star which?", "seen : which?",
    ]  # fmt: skip
    assert (batch.prompt.words.ids < 0).sum(dim=1).tolist() == [1, 1]


@pytest.mark.parametrize(
    "things", [3, None, [], ["audio"], ["image", "image"], ["image", ["audio"]], ["image", ["audio", 3]], [None], [{}]]
)
def test_things_that_are_not_what_is_shown_are_told(things: object) -> None:
    tags = {"question": "which?", "answers": ["it"], "senses": ["image"], "things": things}
    (told,) = Sensed(FORM).read([Pair("a", SQUARE, "", tags)], WORDS)
    assert isinstance(told, str)
    assert "but it shows image, and a thing that is told has a sense and words" in told


@pytest.mark.parametrize(("parts", "given"), [(Texts(PROMPTER).parts, {""}), (Halves(), {"a", "a red"})])
def test_texts_alone(parts: Halves, given: set[str]) -> None:
    images = ImageProcessor(Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD))
    source = subset(_Two(), [0])
    loader = PairLoader(source, images, WORDS, batch=1, seed=0, form=Texts(PROMPTER, parts))
    begins = set[str]()
    for _ in range(12):
        batch = next(loader)
        assert isinstance(batch, Worded)
        begins.add(begin := WORDS.decode(batch.given.ids[0].tolist()))
        assert f"{begin} {WORDS.decode(batch.said.ids[0].tolist())}".strip() == "a red circle"
        assert batch.given.ids[0, 0] == 2
        assert batch.said.ids[0, -1] == 3
    assert begins == given
