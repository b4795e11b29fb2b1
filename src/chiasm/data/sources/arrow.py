"""A folder that Hugging Face's `save_to_disk` wrote: Arrow streams that are read where they lie.

shop/state.json            which files there are, in order
shop/dataset_info.json
shop/data-00000-of-00002.arrow
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from chiasm.data.pairs import Pair
from chiasm.data.sources.columns import PICTURE, pictures_of, words_of
from chiasm.data.sources.packed import Found, PackedSource
from chiasm.data.sources.parquet import found, pair
from chiasm.data.sources.place import Place, files, place, size
from chiasm.data.sources.record import TEXT_KEYS, Skipped, parsed


class ArrowSource(PackedSource):
    """Rows of .arrow files. Local files stay on the disk; those behind a URL are held in memory, all of them."""

    looked_for = f"columns {' or '.join(PICTURE)}, and {' or '.join(TEXT_KEYS)}"

    def __init__(self, where: str | Path) -> None:
        self._files = _listed(where)
        self._tables: dict[int, Any] = {}  # pyarrow has no types
        super().__init__(where)

    def _find(self) -> Iterator[Found | Skipped]:
        for number, path in enumerate(self._files):
            try:
                table = _opened(path)
                words = table.select(words_of(table.schema))
            except (OSError, pa.ArrowException) as error:
                yield Skipped(path.name, f"unreadable: {(str(error) or type(error).__name__).splitlines()[0]}")
                continue
            except ValueError as error:
                yield Skipped(path.name, str(error))
                continue
            self._tables[number] = table.select(words.schema.names + pictures_of(table.schema))
            row = 0
            for batch in words.to_batches():
                for record in batch.to_pylist():
                    yield from found(str(record.get("id") or f"{path.name}:{row}"), record, (number, row), size(path))
                    row += 1

    def _pair(self, *place: int) -> Pair:
        number, row, text = place
        path, record = self._files[number], self._tables[number].slice(row, 1).to_pylist()[0]
        return pair(str(record.get("id") or f"{path.name}:{row}"), record, text, path.parent)


def _listed(where: str | Path) -> list[Place]:
    """The files in the order in which `state.json` has them: their names alone need not say it."""
    found, folder = files(where, (".arrow",)), place(where)
    try:
        names = [each["filename"] for each in parsed((folder / "state.json").read_bytes())["_data_files"]]
    except (OSError, LookupError, TypeError, ValueError):
        return found
    at = {each.name: each for each in found}
    return [at[name] if name in at else folder / name for name in names]


def _opened(path: Place) -> Any:
    source = pa.memory_map(str(path)) if isinstance(path, Path) else pa.BufferReader(path.read_bytes())
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:  # .feather and the like: the same with an index behind
        source.seek(0)
        return pa.ipc.open_file(source).read_all()
