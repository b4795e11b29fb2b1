"""Conversations: what becomes of messages, and what is said of those that are none."""

from dataclasses import replace
from typing import Any

import pytest

import chiasm
from chiasm.data.prompts import Said, Shown
from chiasm.predictor.telling import conversation


@pytest.fixture(scope="module")
def listener() -> Any:
    """A model with another wording and a second sense."""
    module: Any = chiasm.create("blip2/tiny").module
    module.cues = {"image": "", "audio": "sound:"}
    module.wording = replace(module.wording, before="USER:", after="BOT:", turn="<{}>")
    return module


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*parts]}


def test_turns_places_and_what_was_asked_last(listener: Any) -> None:
    messages = [
        user({"type": "image", "image": "a.png"}, text("what is {this}?")),
        {"role": "assistant", "content": "a star"},
        user(text("and"), {"type": "audio", "audio": "b.wav"}, {"type": "image", "image": "c.png"}),
        {"role": "user", "content": "so?"},
    ]
    pieces, shown, asked = conversation(messages, listener)
    assert pieces == [
        "USER:", Shown("image"), "<what is {this}?>", "BOT:", Said("a star"),
        "USER:", "<and>", Shown("audio"), Shown("image"), "BOT:", "USER:", "<so?>", "BOT:",
    ]  # fmt: skip
    assert shown == {"image": ["a.png", "c.png"], "audio": ["b.wav"]}
    assert asked == "so?"


@pytest.mark.parametrize("content", ["be kind", [text("be kind")]])
def test_what_the_system_says_stands_before_the_first_turn(listener: Any, content: Any) -> None:
    messages = [{"role": "system", "content": content}, user(text("hi"))]
    assert conversation(messages, listener)[0] == ["be kind", "USER:", "<hi>", "BOT:"]
    unmarked: Any = chiasm.create("blip2/tiny").module
    with pytest.raises(ValueError, match="message 0 is the system's, which may only be the first, and of a model that"):
        conversation(messages, unmarked)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "a list of messages"),
        ("hello", "a list of messages"),
        ([{"role": "assistant", "content": "a star"}], "of which the last is the user's"),
        ([{"role": "user"}], "message 0 has no role of user or assistant with a content"),
        ([{"role": "user", "content": None}], "message 0 has no role"),
        ([user(text("hi")), {"role": "system", "content": "be kind"}, user(text("hi"))], "message 1 is the system's"),
        ([{"role": "system", "content": None}, user(text("hi"))], "message 0 has no role of user or assistant"),
        ([user("hi")], "message 0 has a part of another kind than text, image, audio"),
        ([user({"type": "video", "video": "a.gif"})], "of another kind than text, image, audio"),
        ([user({"type": "image", "path": "a.png"})], "of another kind than text, image, audio"),
        ([user({"type": "text", "text": 3})], "of another kind than text, image, audio"),
    ],
)
def test_what_is_no_conversation_is_told_in_a_sentence(listener: Any, messages: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        conversation(messages, listener)
