"""VQA's accuracy against counts by hand and a loop over every nine people; answers made plain, rule by rule."""

import itertools

import pytest
import torch

from chiasm.data.sources.chance import chance
from chiasm.evaluation.answering import agreement, exact, plain

# by hand from the released evaluation's rules: what is written, and what is compared
PLAIN = {
    "The Dog": "dog",
    "a cat and an owl": "cat and owl",
    "Two": "2",
    "none": "0",
    "eleven": "eleven",
    "dont": "don't",
    "couldn'tve": "couldn't've",
    "couldnt've": "couldn't've",
    "couldntve": "couldntve",  # both lost
    "twas": "'twas",
    "yall'd've": "y'all'd've",
    "ill": "ill",
    "were": "were",
    "red, white": "red white",  # a comma at a space goes
    "red,white": "red white",  # one between words parts them
    "t-shirt": "t shirt",
    "a - b": "b",  # the hyphen goes, and so does the article
    "well- known t-shirt": "well known tshirt",  # at a space once is everywhere
    "1,000 t-shirts": "1000 tshirts",  # a large number makes all marks go
    "$2.50": "$2.50",
    "5:30 p.m.": "5:30 pm",
    "no. 1.": "no 1",
    "what?!": "what",
    'say "cheese"': "say cheese",
    " yes\n": "yes",
    "on\tthe\ntable": "on table",
    "": "",
    "the": "",
}


@pytest.mark.parametrize(("written", "compared"), PLAIN.items())
def test_plain(written: str, compared: str) -> None:
    assert plain(written) == compared


@pytest.mark.parametrize(("yes", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0), (10, 1.0)])
def test_agreement_by_hand(yes: int, expected: float) -> None:
    """With three who agree, seven subsets have all three (1), and three have two (2/3): 0.9."""
    people = ["yes"] * yes + ["no"] * (10 - yes)
    assert agreement(["yes"], [people]).tolist() == pytest.approx([expected])


def _slowly(said: str, people: list[str]) -> float:
    """The mean over all choices of all people but one."""
    if len(set(people)) > 1:
        said, people = plain(said), [*map(plain, people)]
    subsets = list(itertools.combinations(people, len(people) - 1))
    return sum(min(subset.count(said), 3) for subset in subsets) / 3 / len(subsets)


def test_agreement_is_a_mean_over_subsets() -> None:
    rng = chance("agreement")
    words = ["red", "the red", "dark-red", "dark red", "2", "two", "Two.", ""]
    given = [[rng.choice(words) for _ in range(rng.choice([4, 5, 10, 10]))] for _ in range(200)]
    said = [rng.choice(words) for _ in given]
    expected = [_slowly(one, people) for one, people in zip(said, given, strict=True)]
    assert len({round(value, 4) for value in expected}) > 6
    torch.testing.assert_close(agreement(said, given), torch.tensor(expected, dtype=torch.double))


def test_where_all_agree_it_must_be_said_literally() -> None:
    same, apart = ["two"] * 10, ["two"] * 9 + ["three"]
    assert agreement(["2", "two ", "2"], [same, same, apart]).tolist() == [0, 1, 1]


def test_exact_is_any_right_answer() -> None:
    assert exact(["The dog!", "dog", "cat", ""], [["dog"], ["a cat", "Dog"], ["dog"], []]).tolist() == [1, 1, 0, 0]
    assert exact([], []).shape == agreement([], []).shape == (0,)


def test_too_few_people_are_no_measure() -> None:
    with pytest.raises(ValueError, match="question 1 has 3 answers, but agreement is measured with 4 people or more"):
        agreement(["a", "b"], [["a"] * 4, ["b"] * 3])
    with pytest.raises(ValueError, match="shorter"):
        agreement(["a"], [])
