"""What a record of other people's data says: which key is the picture, which the words; and what was left out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from chiasm.data.pairs import Source

OURS = "picture"  # a column of the tables that `chiasm caption` and its kin write, with paths from where they were told
IMAGE_KEYS = ("image", "file_name", "filepath", "image_path", OURS)
TEXT_KEYS = ("text", "caption", "captions", "title")
QUESTION, ANSWERS = "question", "answers"  # a text where there is no other; what it is answered by
SECOND = "second"  # a second picture


@dataclass(frozen=True)
class Skipped:
    """A pair that was left out, and why."""

    id: str
    reason: str


@runtime_checkable
class Summarised(Protocol):
    """What can say what it holds and what it had to leave out: every source of ours, and a loader of one."""

    @property
    def skipped(self) -> tuple[Skipped, ...]: ...

    def summary(self) -> str: ...


def summary(skipped: Iterable[Skipped], *, named: int = 3, reasons: int = 8) -> str:
    """`2 x no text (a.jpg, b.jpg); 1 x duplicate id (17)`, or "" for nothing; the commonest reasons first."""
    by_reason: dict[str, list[str]] = {}
    for each in skipped:
        by_reason.setdefault(each.reason, []).append(each.id)
    told = sorted(by_reason.items(), key=lambda one: -len(one[1]))
    rest = [f"{sum(len(ids) for _, ids in told[reasons:])} more for other reasons"] if len(told) > reasons else []
    return "; ".join(
        [
            f"{len(ids)} x {reason} ({', '.join(ids[:named])}{', ...' if len(ids) > named else ''})"
            for reason, ids in told[:reasons]
        ]
        + rest
    )


def summed_up(pairs: str, skipped: Sequence[Skipped]) -> str:
    """`12 pairs in shop, 2 left out: 2 x no text (a.jpg, b.jpg)`."""
    return f"{pairs}, {len(skipped)} left out: {summary(skipped)}" if skipped else pairs


def summary_of(source: Source) -> str:
    """What a source says of itself, in one line; of one that says nothing, its size."""
    return source.summary() if isinstance(source, Summarised) else f"{len(source)} pairs"


def left_out(source: Source) -> tuple[Skipped, ...]:
    """What a source had to leave out, as far as it tells."""
    return source.skipped if isinstance(source, Summarised) else ()


def picture_of(record: Mapping[str, Any]) -> str:
    """The picture's place as it is written there."""
    for key in IMAGE_KEYS:
        if isinstance(record.get(key), str) and (name := whole(record[key]).strip()):
            return name
    raise ValueError("no picture named")


def texts_of(record: Mapping[str, Any]) -> list[str]:
    """What the first key of `TEXT_KEYS` that says something says: one text, or several; none for nothing."""
    for key in (*TEXT_KEYS, QUESTION):
        told = record.get(key)
        words = [whole(each).strip() for each in (told if isinstance(told, list) else [told]) if isinstance(each, str)]
        if found := [each for each in words if each]:
            return found
    return []


def tags_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything else."""
    return {key: value for key, value in record.items() if key not in ("id", SECOND, *IMAGE_KEYS, *TEXT_KEYS)}


def numbered(name: str, number: int) -> str:
    """`a.jpg`, `a.jpg#2`, ...: the ids of several texts of one picture; the first is number 1."""
    return name if number < 2 else f"{name}#{number}"


def parsed(content: bytes) -> dict[str, Any]:
    """A JSON object."""
    entry = parsed_json(content)
    if not isinstance(entry, dict):
        raise ValueError("JSON, but no object")
    return entry


def parsed_json(content: bytes) -> Any:
    """JSON of any kind."""
    text = decoded(content)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("broken JSON") from error


def decoded(content: bytes) -> str:
    """Text, with a byte order mark or without."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error


def whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can smuggle in and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def reason_of(error: OSError | ValueError) -> str:
    """What went wrong, without the place."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
