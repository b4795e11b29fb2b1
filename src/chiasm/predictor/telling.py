"""From what a model is told about pictures, or shown in the course of a conversation, to the first word of its answer.

Speaks      seen ─ [DEC] prompt ─────────────── continued
Instructs   seen, among the words of a prompt ─ continued
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chiasm.core.ability import Continues, Instructs, Speaks
from chiasm.core.types import Perceived, Text
from chiasm.data.prompts import Piece, Said, Shown
from chiasm.predictor.reader import Reader

PICTURES = "image"  # the sense that verbs about pictures ask
NO_PLACE = "which may only be the first, and of a model that marks turns: say it in the user's first"


@dataclass(frozen=True)
class Begun:
    """Who goes on, about what, and from which tokens."""

    model: Continues
    states: Tensor
    opening: Text


def begun(
    reader: Reader, module: Speaks | Instructs, seen: Tensor, prompts: Sequence[str], *, frames: int, new: int
) -> Begun:
    """A prompt for each row of `seen`, and room for `new` tokens behind it."""
    if isinstance(module, Instructs):
        return told(reader, module, seen, prompts, frames)
    return Begun(module, seen, reader.opening(prompts, new))


def told(reader: Reader, module: Instructs, seen: Tensor, prompts: Sequence[str], frames: int) -> Begun:
    """Each row's prompt stands behind the picture, or behind the frames of the video, that it is about."""
    pieces = [reader.prompter(module).turn([PICTURES], prompt) for prompt in prompts]
    return heard(reader, module, {PICTURES: seen.unflatten(1, (frames, -1))}, pieces, prompts)


def heard(
    reader: Reader, module: Instructs, perceived: Perceived, pieces: Sequence[Sequence[Piece]],
    hints: Sequence[str],
) -> Begun:  # fmt: skip
    """What is perceived, in its places among some pieces of a prompt for each row."""
    prompter = reader.prompter(module)
    prompt = prompter(pieces, hints, longest=module.wording.longest if reader.truncate else None)
    if (width := prompt.words.ids.shape[1]) > module.wording.longest:
        raise ValueError(
            f"a prompt has {width} tokens, but the model takes at most {module.wording.longest}: shorten it, or have "
            "its first words cut off (model.truncate = True, --truncate)"
        )
    given, writer = module.listen(perceived, prompt.to(reader.weight.device))
    nothing = torch.empty(len(pieces), 0, dtype=torch.int64, device=given.device)
    return Begun(writer, given, Text(nothing, nothing.bool()))


def conversation(messages: Any, module: Instructs) -> tuple[list[Piece], dict[str, list[Any]], str]:
    """The pieces of a prompt that goes on with a conversation, what is shown by sense, and what was asked last.

    A message has a `role`, user or assistant, and a `content`: a string, or a list of parts such as
    `{"type": "text", "text": ...}` and `{"type": "image", "image": ...}`, one type for each sense. A first one of the
    role system stands before the first turn, where a family marks turns.
    """
    pieces, shown, asked = list[Piece](), dict[str, list[Any]](), ""
    match messages:
        case [*before, {"role": "user"} as last]:
            messages = [*before, last]
        case _:
            raise ValueError(
                "a conversation is a list of messages, of which the last is the user's: it goes on after that"
            )
    for number, message in enumerate(messages):
        match message:
            case {"role": "system", "content": str(text) | [{"type": "text", "text": str(text)}]}:
                if number or not module.wording.before:
                    raise ValueError(f"message {number} is the system's, {NO_PLACE}")
                pieces.append(text)
            case {"role": "assistant", "content": str(text)}:
                pieces.append(Said(text))
            case {"role": "user", "content": str() | list() as content}:
                parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
                pieces += [module.wording.before, *_parts(parts, module, shown, number), module.wording.after]
                asked = " ".join(part["text"] for part in parts if part["type"] == "text")
            case _:
                raise ValueError(f"message {number} has no role of user or assistant with a content: {message!r:.80}")
    return pieces, shown, asked


def _parts(parts: Sequence[Any], module: Instructs, shown: dict[str, list[Any]], number: int) -> list[Piece]:
    pieces = list[Piece]()
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                pieces.append(module.wording.turn.format(text))
            case {"type": str(sense), **rest} if sense in module.cues and sense in rest:
                pieces.append(Shown(sense))
                shown.setdefault(sense, []).append(rest[sense])
            case _:
                kinds = ", ".join(["text", *module.cues])
                raise ValueError(f"message {number} has a part of another kind than {kinds}: {part!r:.80}")
    return pieces
