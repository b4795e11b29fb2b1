"""Questions and labels become batches; what cannot is named, and a stream of them is taken up again."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from chiasm.core.types import Asked, Labelled, Pixels
from chiasm.data.batches import Labels, Questions, shares
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Pair
from chiasm.data.sources.files import JsonlSource
from chiasm.data.text import Tokenizer

PLAIN = ImageProcessor(Pixels(size=6, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
WORDS = Tokenizer.builtin()


class Given:
    """A source of pairs in memory; picture `i` has the shade `i`, its second one the shade `100 + i`."""

    fingerprint = "given"

    def __init__(self, *tags: dict[str, Any]) -> None:
        self.tags = tags

    def __len__(self) -> int:
        return len(self.tags)

    def __getitem__(self, index: int) -> Pair:
        image, second = (np.full((7, 5, 3), shade, np.uint8) for shade in (index, 100 + index))
        tags = {**self.tags[index]}
        return Pair(f"row-{index}", image, tags.pop("text", f"red {index}?"), tags, second)


def _said(ids: torch.Tensor, mask: torch.Tensor) -> list[str]:
    return [WORDS.decode(row[real].tolist()) for row, real in zip(ids, mask, strict=True)]


def _shade(image: torch.Tensor) -> int:
    return round(float(image[0, 0, 0]) * 255)


def test_a_batch_of_questions_says_whose_each_answer_is() -> None:
    source = Given(
        {"answers": ["red", "red", "blue", "red"]},
        {"answers": {"two": 3, "a few": 1}, "question": "How many?"},
        {"answers": "yes"},
    )
    batch = next(PairLoader(source, PLAIN, WORDS, form=Questions(), batch=3, seed=0))
    assert isinstance(batch, Asked)
    found = dict[int, Any]()
    answers = _said(batch.answers.ids, batch.answers.mask)
    for row, question in enumerate(_said(batch.question.ids, batch.question.mask)):
        own = [i for i, owner in enumerate(batch.rows.tolist()) if owner == row]
        found[_shade(batch.images[row])] = question, {answers[i]: batch.weights[i].item() for i in own}
    assert found == {
        0: ("red 0?", {"red": 0.75, "blue": 0.25}),
        1: ("how many?", {"two": 0.75, "a few": 0.25}),
        2: ("red 2?", {"yes": 1.0}),
    }


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (None, {}),
        ([], {}),
        (["", "  "], {}),
        ({"red": 0, "blue": -1, "green": "many"}, {}),
        (["Red", "red."], {"red": 1.0}),
        ([2, True], {"2": 0.5, "true": 0.5}),
        ({"red": 3, "RED": 1, "blue": 4}, {"red": 0.5, "blue": 0.5}),
    ],
)
def test_answers_of_any_form(answers: Any, expected: dict[str, float]) -> None:
    assert shares(answers) == expected


def test_two_pictures_and_their_label() -> None:
    source = Given({"label": "True"}, {"label": False}, {"label": "true"})
    form = Labels(("false", "true"), images=2)
    batch = next(PairLoader(source, PLAIN, WORDS, form=form, batch=3, seed=0))
    assert isinstance(batch, Labelled)
    assert batch.images.shape == (3, 2, 3, 6, 6)
    rows = {_shade(batch.images[i, 0]): (_shade(batch.images[i, 1]), int(batch.label[i])) for i in range(3)}
    assert rows == {0: (100, 1), 1: (101, 0), 2: (102, 1)}
    assert next(PairLoader(source, PLAIN, WORDS, form=Labels(("false", "true")), batch=2, seed=0)).images.shape[1] == 1


def test_what_cannot_be_used_is_named() -> None:
    asked = PairLoader(
        Given({"answers": ["red"]}, {"answers": []}, {"text": "..", "answers": ["red"]}, {}),
        PLAIN, WORDS, form=Questions(), batch=4, seed=0,
    )  # fmt: skip
    assert next(asked).rows.tolist() == [0, 1, 2, 3]
    assert {each.id: each.reason for each in asked.skipped} == {
        "row-1": "no answers", "row-2": "no question", "row-3": "no answers",
    }  # fmt: skip
    judged = PairLoader(
        Given({"label": "yes"}, {"label": "maybe"}, {}, {"label": "no", "text": "!"}),
        PLAIN, WORDS, form=Labels(("no", "yes")), batch=4, seed=0,
    )  # fmt: skip
    next(judged)
    assert {each.id: each.reason for each in judged.skipped} == {
        "row-1": "the label 'maybe' is none of no, yes", "row-2": "no label", "row-3": "no text",
    }  # fmt: skip


def test_a_stream_of_questions_is_taken_up_again_exactly() -> None:
    source = Given(*({"answers": [f"{i}", "red"]} for i in range(7)))
    first, again = (PairLoader(source, PLAIN, WORDS, form=Questions(), batch=3, seed=0) for _ in range(2))
    list(islice(first, 3))
    again.load_state_dict(first.state_dict())
    for _ in range(4):
        one, other = next(first), next(again)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.answers.ids, other.answers.ids)
        assert torch.equal(one.rows, other.rows)


def test_questions_and_second_pictures_in_a_list(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    lines = [
        {"image": "a.png", "question": "what colour?", "answers": {"red": 2}},
        {"image": "a.png", "second": "b.png", "text": "both are red", "label": True},
        {"image": "a.png", "second": "c.png", "text": "both are red", "label": True},
    ]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = JsonlSource(path)
    assert [(pair.text, pair.second) for pair in (source[0], source[1])] == [
        ("what colour?", None),
        ("both are red", tmp_path / "b.png"),
    ]
    assert source[0].tags == {"question": "what colour?", "answers": {"red": 2}}
    assert source[1].tags == {"label": True}
    assert [each.reason for each in source.skipped] == ["the picture's file is missing"]
