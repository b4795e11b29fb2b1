"""One or many, and both sides agree."""

import pytest

from chiasm.predictor import inputs


def test_pairs_repeat_the_one() -> None:
    assert [inputs.pairs(*sizes) for sizes in ((3, 3), (1, 4), (4, 1), (1, 1), (0, 0), (0, 1), (1, 0))] == [
        3, 4, 4, 1, 0, 0, 0,
    ]  # fmt: skip
    for sizes in ((2, 3), (0, 2), (2, 0)):
        with pytest.raises(ValueError, match=f"{sizes[0]} pictures and {sizes[1]} texts"):
            inputs.pairs(*sizes)


def test_seeds_differ_from_row_to_row_and_from_seed_to_seed() -> None:
    assert inputs.seeds(None, 3) is None
    assert inputs.seeds([4, 5], 2) == [4, 5]
    rows = {seed: inputs.seeds(seed, 50) for seed in range(50)}
    assert rows[3] == inputs.seeds(3, 60)[:50]
    every = [seed for row in rows.values() for seed in row]
    assert len(set(every)) == len(every)
    assert all(0 <= seed < 2**63 for seed in every)


def test_templates_take_every_name() -> None:
    assert inputs.filled(["a {}", "{} and {}"], ["x", "{}"]) == ["a x", "a {}", "x and x", "{} and {}"]
    assert inputs.filled("imagenet", ["cat", "dog"])[:2] == ["a bad photo of a cat.", "a bad photo of a dog."]
    with pytest.raises(ValueError, match=r"'imagnet' does not; known by name: imagenet"):
        inputs.filled("imagnet", ["x"])
    with pytest.raises(ValueError, match="there are no templates"):
        inputs.filled([], ["x"])


def test_texts_are_strings() -> None:
    assert inputs.texts("ab").items == ["ab"]
    assert inputs.texts(iter(["a", "b"])).items == ["a", "b"]
    with pytest.raises(ValueError, match="labels must be strings, but number 1 is int"):
        inputs.texts(filter(None, ["a", 2]), what="labels")  # pyright: ignore[reportArgumentType]  the mistake itself
