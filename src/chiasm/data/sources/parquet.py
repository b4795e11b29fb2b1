"""Pairs in parquet files: `id`, `image` (its bytes, or a path beside the file), `text`, `tags` (JSON).

Other libraries store pictures alike: `image` may be a struct of `bytes` and `path`, plain bytes or a
path, or the columns `image.bytes` and `path`; the words may be called `caption`, and be several.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chiasm.data.order import WINDOW
from chiasm.data.pairs import Pair, Unread
from chiasm.data.sources.columns import PICTURE, picture_of, pictures_of, tags_of, words_of
from chiasm.data.sources.packed import Found, PackedSource
from chiasm.data.sources.place import Place, files, size
from chiasm.data.sources.record import TEXT_KEYS, Skipped, numbered, texts_of, whole


class ParquetSource(PackedSource):
    """Pairs of a .parquet file, or of all in a folder; pictures are read a row group at a time.

    Files of large groups take memory: `write_parquet` makes small ones. Files and rows that cannot
    be used are named in `skipped`.
    """

    looked_for = f"columns {' or '.join(PICTURE)}, {' or '.join(TEXT_KEYS)}, and perhaps id and tags"

    def __init__(self, where: str | Path) -> None:
        self._files = files(where, (".parquet",))
        self._groups: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()
        self._broken: dict[tuple[int, int], Unread] = {}
        self._lock = threading.Lock()
        super().__init__(where)

    @cached_property
    def shards(self) -> Sequence[range]:
        """Row groups."""
        return self._runs(0, 1)

    def _find(self) -> Iterator[Found | Skipped]:
        for number, path in enumerate(self._files):
            try:
                with path.open("rb") as raw, pq.ParquetFile(raw) as file:
                    columns = words_of(file.schema_arrow)
                    for group in range(file.num_row_groups):
                        for row, record in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                            own = str(record.get("id") or f"{path.name}:{group}:{row}")
                            yield from found(own, record, (number, group, row), size(path))
            except (OSError, pa.ArrowException) as error:
                yield Skipped(path.name, f"unreadable parquet: {_first_line(error)}")
            except ValueError as error:
                yield Skipped(path.name, str(error))

    def _pair(self, *place: int) -> Pair:
        number, group, row, text = place
        path, records = self._files[number], self._group(number, group)
        own = f"{path.name}:{group}:{row}"
        if isinstance(records, Unread):
            return Pair(numbered(own, text + 1), records, "")
        return pair(str(records[row].get("id") or own), records[row], text, path.parent)

    def _group(self, number: int, group: int) -> list[dict[str, Any]] | Unread:
        """The rows of a group; as many groups stay in memory as a window of the order touches, and as many again."""
        key = (number, group)
        with self._lock:
            if key in self._broken:
                return self._broken[key]
            if key not in self._groups:
                try:
                    self._groups[key] = self._read(*key)
                except (OSError, pa.ArrowException, ValueError) as error:
                    reason = f"unreadable parquet: {_first_line(error)}"
                    return self._broken.setdefault(key, Unread(str(self._files[number]), reason))
                while len(self._groups) > 1 and sum(map(len, self._groups.values())) > 2 * WINDOW:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            return self._groups[key]

    def _read(self, number: int, group: int) -> list[dict[str, Any]]:
        with self._files[number].open("rb") as raw, pq.ParquetFile(raw) as file:
            names = words_of(file.schema_arrow) + pictures_of(file.schema_arrow)
            return file.read_row_group(group, columns=names).to_pylist()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def found(own: str, record: dict[str, Any], place: tuple[int, ...], weight: int) -> Iterator[Found | Skipped]:
    """The pairs of a row, one a text."""
    try:
        texts, tags = texts_of(record), tags_of(record)
    except ValueError as error:
        yield Skipped(own, str(error))
        return
    if not texts:
        yield Skipped(own, "no text")
    for number, text in enumerate(texts):
        yield Found(whole(numbered(own, number + 1)), (text, tags, weight), (*place, number))


def pair(own: str, record: dict[str, Any], number: int, folder: Place) -> Pair:
    """One of them."""
    return Pair(whole(numbered(own, number + 1)), picture_of(record, folder), texts_of(record)[number], tags_of(record))
