"""Rules claim every tensor once, and what they read they can write."""

import pytest
import torch
from torch import Tensor

from chiasm.core.dialect import Drop, Rename, Rule, Split, Tied, Transform, Zeros, mount
from chiasm.weights.translate import translate, untranslate

LAYER = (
    Rename("norm1", "norm"),
    Split("attn.qkv", ("attend.q", "attend.k", "attend.v")),
)
RULES: tuple[Rule, ...] = (
    *mount(LAYER, theirs="visual.blocks.{i}.", ours="vision.layers.{i}."),
    Transform("visual.cls", "vision.first", lambda x: x.view(1, -1), lambda x: x.view(-1)),
    Rename("words.weight", "embed.weight"),
    Tied("head.weight", "words.weight"),
    Drop("queue", "negatives of a training that is over"),
)


def theirs(layers: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(0)
    blocks = {
        f"visual.blocks.{i}.{name}": torch.randn(*shape)
        for i in range(layers)
        for name, shape in {
            "norm1.weight": (4,),
            "norm1.bias": (4,),
            "attn.qkv.weight": (12, 4),
            "attn.qkv.bias": (12,),
        }.items()
    }
    words = torch.randn(5, 4)
    rest = {"visual.cls": torch.randn(4), "words.weight": words, "head.weight": words, "queue": torch.randn(3)}
    return blocks | rest


def test_every_tensor_under_our_name() -> None:
    values = theirs()
    ours = translate(values, RULES, source="file")
    assert set(ours) == {
        "vision.first",
        "embed.weight",
        *(
            f"vision.layers.{i}.{part}.{kind}"
            for i in range(2)
            for part in ("norm", "attend.q", "attend.k", "attend.v")
            for kind in ("weight", "bias")
        ),
    }
    assert torch.equal(ours["vision.layers.1.attend.k.weight"], values["visual.blocks.1.attn.qkv.weight"][4:8])
    assert torch.equal(ours["vision.first"][0], values["visual.cls"])


def test_what_is_ours_alone_and_changes_nothing_is_read_as_zeros_and_never_written() -> None:
    rules = mount((Rename("q_bias", "q.bias"), Zeros("k.bias", "q.bias")), theirs="{i}.", ours="layers.{i}.")
    given = {"0.q_bias": torch.randn(4), "1.q_bias": torch.randn(3)}
    ours = translate(given, rules, source="file")
    assert {name: value.tolist() for name, value in ours.items() if "k" in name} == {
        "layers.0.k.bias": [0.0] * 4,
        "layers.1.k.bias": [0.0] * 3,
    }
    assert untranslate(ours | {"layers.0.k.bias": torch.ones(4)}, rules, source="model") == given


def test_there_and_back_is_bit_exact() -> None:
    values = theirs()
    back = untranslate(translate(values, RULES, source="file"), RULES, source="model")
    assert back.keys() == values.keys() - {"queue"}
    assert all(torch.equal(tensor, values[name]) for name, tensor in back.items())


def test_a_copy_may_be_absent_but_not_different() -> None:
    values = theirs()
    del values["head.weight"]
    assert "embed.weight" in translate(values, RULES, source="file")
    with pytest.raises(ValueError, match=r"head.weight in file should equal words.weight"):
        translate(values | {"head.weight": torch.zeros(5, 4)}, RULES, source="file")


def test_what_nobody_claims_is_named() -> None:
    with pytest.raises(ValueError, match=r"file does not fit the model: .* does not know: a.b, visual.blocks.x"):
        translate(theirs() | {"a.b": torch.ones(1), "visual.blocks.x": torch.ones(1)}, RULES, source="file")
    with pytest.raises(ValueError, match=r"model holds what this layout has no name for: strange"):
        untranslate({"strange": torch.ones(1)}, RULES, source="model")


def test_what_two_rules_claim_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"queue in file is claimed by .* and .*"):
        translate(theirs(), (*RULES, Rename("queue", "vision.queue")), source="file")
    with pytest.raises(ValueError, match=r"file holds embed.weight twice"):
        translate(theirs(), (*RULES[:-1], Rename("queue", "embed.weight")), source="file")


def test_parts_must_be_equal_and_all_there() -> None:
    values = theirs() | {"visual.blocks.0.attn.qkv.bias": torch.ones(10)}
    with pytest.raises(ValueError, match=r"10 rows, which do not make 3 equal parts"):
        translate(values, RULES, source="file")
    ours = translate(theirs(), RULES, source="file")
    del ours["vision.layers.1.attend.v.bias"]
    with pytest.raises(ValueError, match=r"model lacks vision.layers.1.attend.v.bias"):
        untranslate(ours, RULES, source="model")


def test_a_number_said_twice_is_the_same_number() -> None:
    rules = (Rename("a.{i}.b.{i}", "c.{i}"),)
    assert set(translate({"a.3.b.3.w": torch.ones(1)}, rules, source="file")) == {"c.3.w"}
    with pytest.raises(ValueError, match=r"does not know: a.3.b.4.w"):
        translate({"a.3.b.4.w": torch.ones(1)}, rules, source="file")
