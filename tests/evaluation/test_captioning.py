"""Captions against their truth, by hand."""

from chiasm.evaluation.captioning import attributes, captioning, exact

RED, BLUE = {"colour": "red", "shape": "circle"}, {"colour": "blue", "shape": "square", "place": "top"}


def test_exact_forgives_what_is_not_meaning() -> None:
    said = ["A red  circle.", "a red circle", "a red square", ""]
    assert exact(said, ["a red circle"] * 4).tolist() == [1, 1, 0, 0]


def test_each_attribute_is_judged_where_the_truth_has_it() -> None:
    said = [{"colour": "red", "shape": "square", "place": "top"}, {"colour": "red", "shape": "square"}, None]
    marks = attributes(said, [RED, BLUE, RED])
    assert {name: marks[name].tolist() for name in marks} == {"colour": [1, 0, 0], "shape": [0, 1, 0], "place": [0]}


def test_a_missing_attribute_is_wrong_even_if_its_value_is_none() -> None:
    assert attributes([{}], [{"tone": None}])["tone"].tolist() == [0]


def test_all_of_it_by_name() -> None:
    marks = captioning(["a red circle", "hm"], ["a red circle", "a blue square at the top"], [RED, None], [RED, BLUE])
    assert {name: mark.mean().item() for name, mark in marks.items()} == {
        "caption_exact": 0.5, "caption_colour": 0.5, "caption_shape": 0.5, "caption_place": 0.0,
    }  # fmt: skip
