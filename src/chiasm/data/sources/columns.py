"""Tables as pyarrow reads them, ours and other people's: which columns are the picture, the words and the rest."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from chiasm.data.pairs import Stored
from chiasm.data.sources.place import Place, contents
from chiasm.data.sources.record import TEXT_KEYS

PLAIN = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating,
)  # fmt: skip
PICTURE = ("image", "image.bytes", "img", "jpg", "path")


def words_of(schema: Any) -> list[str]:
    """The columns that are read at once: everything but pictures, and what no tag can hold."""
    names = set(schema.names)
    if not names & set(PICTURE) or not names & set(TEXT_KEYS):
        raise ValueError(f"no columns for picture and text, only {', '.join(schema.names)}")
    return [
        field.name
        for field in schema
        if field.name in TEXT_KEYS or (field.name not in PICTURE and any(is_kind(field.type) for is_kind in PLAIN))
    ]


def pictures_of(schema: Any) -> list[str]:
    """The columns of pictures."""
    return [name for name in schema.names if name in PICTURE]


def tags_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The object in the column `tags`, and what else is known of a row."""
    try:
        told = json.loads(record.get("tags") or "{}")
    except (TypeError, ValueError):
        told = None
    if not isinstance(told, dict):
        raise ValueError("tags are no JSON object")
    known = {"id", "tags", *TEXT_KEYS, *PICTURE}
    return {key: value for key, value in record.items() if key not in known and value is not None} | told


def picture_of(record: Mapping[str, Any], folder: Place) -> Stored:
    """Bytes where there are any, else a path; nothing at all is an empty file to whoever decodes it."""
    image = next((record[key] for key in ("image", "img", "jpg") if record.get(key) is not None), None)
    stored: Mapping[str, Any] = image if isinstance(image, Mapping) else {}
    data = image if isinstance(image, bytes) else stored.get("bytes") or record.get("image.bytes")
    name = image if isinstance(image, str) else stored.get("path") or record.get("path")
    return data or (contents(folder / name) if name else b"")
