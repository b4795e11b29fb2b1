"""Pairs that lie in files: a folder of pictures with their words, or a list of both.

    shop/a.jpg + shop/a.txt            the words beside the picture, as .txt or .json
    shop/captions.jsonl                a list, as JSONL, CSV or TSV: see `lists.py`

What is wrong with a pair never stops the others: it is left out, counted and named in `skipped`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from posixpath import normpath, splitext
from typing import ClassVar

from chiasm.data.pairs import Pair
from chiasm.data.sources.hub import LISTS, PICTURES, shard_kind
from chiasm.data.sources.lists import Listed, listed, read_list
from chiasm.data.sources.place import Place, below, place, size
from chiasm.data.sources.record import Skipped, decoded, parsed, reason_of, summary, summed_up

RECORD = ".run.json"  # stands beside a table that a command of ours wrote, and is the words of no picture


class FileSource(ABC):
    """Pairs of which everything but the pictures is read at once."""

    looked_for: ClassVar[str]

    def __init__(self, where: str | Path) -> None:
        self.path = place(where)
        if not self.path.exists():
            raise ValueError(f"{where} does not exist; looked for {self.looked_for}")
        pairs: dict[str, Listed] = {}
        skipped: list[Skipped] = []
        for found in self._read():
            match found:
                case Skipped():
                    skipped.append(found)
                case Listed(id=name) if name in pairs:
                    skipped.append(Skipped(name, "duplicate id, the first is kept"))
                case Listed():
                    pairs[found.id] = found
        self._pairs, self.skipped = tuple(pairs.values()), tuple(skipped)
        self._fingerprint = ""  # read when first asked for
        if not pairs:
            told = summary(skipped) or "nothing there"
            raise ValueError(f"no pairs in {where}: {told}; looked for {self.looked_for}")

    @abstractmethod
    def _read(self) -> Iterator[Listed | Skipped]: ...

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        return self._pairs[index].pair()

    def summary(self) -> str:
        """What was found and what was left out, in one line."""
        return summed_up(f"{len(self)} pairs in {self.path}", self.skipped)

    @property
    def fingerprint(self) -> str:
        """Of ids, texts, tags and the sizes of the picture files; not of their times, so that a copy is the same."""
        if self._fingerprint:
            return self._fingerprint
        digest = hashlib.sha256()
        for pair in self._pairs:
            facts = [pair.id, pair.text, dict(pair.tags), *map(size, filter(None, (pair.picture, pair.second)))]
            digest.update(json.dumps(facts, sort_keys=True).encode())
        self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint


class FolderSource(FileSource):
    """Pictures below a folder with their words beside them, or in a list of the folder."""

    looked_for = f"pictures ({' '.join(sorted(PICTURES))}) beside a .txt or .json of the same name, or {LISTS[0]}"

    def _read(self) -> Iterator[Listed | Skipped]:
        files = {name: path for name, path in below(self.path) if not name.endswith(RECORD)}
        pictures = {name: path for name, path in files.items() if path.suffix.lower() in PICTURES}
        yield from (Skipped(name, "no picture, but many pairs: mix it in") for name in files if shard_kind(name))
        if table := next((name for name in LISTS if name in files), None):
            yield from self._listed(table, files[table], pictures)
            return
        if deeper := sorted({name.rpartition("/")[0] for name in files if name.rpartition("/")[2] in LISTS}):
            raise ValueError(f"{self.path} has lists in its folders {', '.join(deeper)}: open one, or mix them")
        words = {splitext(name)[0]: path for name, path in files.items() if path.suffix.lower() in (".txt", ".json")}
        for name, picture in pictures.items():
            yield from self._beside(name, picture, words.get(splitext(name)[0]))
        for stem in sorted(words.keys() - {splitext(name)[0] for name in pictures}):
            yield Skipped(stem + words[stem].suffix, "a text without a picture")

    def _listed(self, table: str, path: Place, pictures: Mapping[str, Place]) -> Iterator[Listed | Skipped]:
        told: set[str] = set()
        for name, found in read_list(path):
            told.add(normpath(name))
            yield found
        for picture in sorted(pictures.keys() - told):
            yield Skipped(picture, f"a picture without a line in {table}")

    def _beside(self, name: str, picture: Place, words: Place | None) -> Iterator[Listed | Skipped]:
        """The pairs of a picture and the file beside it."""
        if words is None:
            yield Skipped(name, "a picture without a text")
            return
        try:
            content = words.read_bytes()
            entry = parsed(content) if words.suffix.lower() == ".json" else {"text": decoded(content)}
            yield from (replace(each, picture=picture) for each in listed(entry, self.path, name, Counter()))
        except (OSError, ValueError) as error:
            yield Skipped(name, reason_of(error))


class JsonlSource(FileSource):
    """One JSON object a line: `image` or `file_name`, `text` or `caption`, perhaps `id`; other keys become tags.

    Relative paths start at the file's folder. A picture may have several lines, or a list of texts:
    without ids of their own they are called `a.jpg`, `a.jpg#2`, ...
    """

    looked_for = 'lines such as {"image": "a.jpg", "text": "a red dress"} whose pictures exist'

    def _read(self) -> Iterator[Listed | Skipped]:
        return (found for _, found in read_list(self.path))


class TableSource(FileSource):
    """A table whose first line names the columns; otherwise like `JsonlSource`."""

    looked_for = "a first line such as `image,text`, and below it pictures that exist"

    def _read(self) -> Iterator[Listed | Skipped]:
        return (found for _, found in read_list(self.path))
