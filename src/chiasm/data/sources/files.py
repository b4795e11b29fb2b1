"""Pairs that lie in files: a folder of pictures with their words, or a JSONL list of both.

    shop/a.jpg + shop/a.txt            the words beside the picture, as .txt or .json
    shop/captions.jsonl                {"image": "a.jpg", "text": "a red dress", "id": "17", ...}

What is wrong with a pair never stops the others: it is left out, counted and named in `skipped`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from chiasm.data.pairs import Pair

PICTURES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
LISTS = ("captions.jsonl", "metadata.jsonl")
IMAGE_KEYS, TEXT_KEYS = ("image", "file_name"), ("text", "caption")


@dataclass(frozen=True)
class Skipped:
    """A pair that was left out, and why."""

    id: str
    reason: str


def summary(skipped: Iterable[Skipped], *, named: int = 3) -> str:
    """`2 x no text (a.jpg, b.jpg); 1 x duplicate id (17)`, or "" for nothing."""
    by_reason: dict[str, list[str]] = {}
    for each in skipped:
        by_reason.setdefault(each.reason, []).append(each.id)
    return "; ".join(
        f"{len(ids)} x {reason} ({', '.join(ids[:named])}{', ...' if len(ids) > named else ''})"
        for reason, ids in by_reason.items()
    )


class FileSource(ABC):
    """Pairs of which everything but the pictures is read at once."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise ValueError(f"{path} does not exist; looked for {self.looked_for}")
        pairs: dict[str, Pair] = {}
        skipped: list[Skipped] = []
        for found in self._read():
            match found:
                case Skipped():
                    skipped.append(found)
                case Pair(id=name) if name in pairs:
                    skipped.append(Skipped(name, "duplicate id, the first is kept"))
                case Pair():
                    pairs[found.id] = found
        self._pairs, self.skipped = tuple(pairs.values()), tuple(skipped)
        self._fingerprint = ""  # read when first asked for
        if not pairs:
            raise ValueError(f"no pairs in {path}: {summary(skipped) or 'nothing there'}; looked for {self.looked_for}")

    looked_for: ClassVar[str]

    @abstractmethod
    def _read(self) -> Iterator[Pair | Skipped]: ...

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Pair:
        return self._pairs[index]

    def summary(self) -> str:
        """What was found and what was left out, in one line."""
        left_out = f", {len(self.skipped)} left out: {summary(self.skipped)}" if self.skipped else ""
        return f"{len(self)} pairs in {self.path}{left_out}"

    @property
    def fingerprint(self) -> str:
        """Of ids, texts, tags and the sizes of the picture files; not of their times, so that a copy is the same."""
        if self._fingerprint:
            return self._fingerprint
        digest = hashlib.sha256()
        for pair in self._pairs:
            size = pair.image.stat().st_size if isinstance(pair.image, Path) and pair.image.exists() else -1
            digest.update(json.dumps([pair.id, pair.text, dict(pair.tags), size], sort_keys=True).encode())
        self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint


class FolderSource(FileSource):
    """Pictures below a folder with their words beside them, or in a list of the folder."""

    looked_for = f"pictures ({' '.join(sorted(PICTURES))}) beside a .txt or .json of the same name, or {LISTS[0]}"

    def _read(self) -> Iterator[Pair | Skipped]:
        files = [path for path in sorted(self.path.rglob("*")) if not path.name.startswith(".") and path.is_file()]
        pictures = [path for path in files if path.suffix.lower() in PICTURES]
        for name in LISTS:
            if (self.path / name).is_file():
                yield from self._listed(self.path / name, pictures)
                return
        words = {path.with_suffix(""): path for path in files if path.suffix.lower() in (".txt", ".json")}
        for picture in pictures:
            yield self._pair(picture, words.get(picture.with_suffix("")))
        for stem in sorted(words.keys() - {picture.with_suffix("") for picture in pictures}):
            yield Skipped(self._name(words[stem]), "a text without a picture")

    def _listed(self, path: Path, pictures: list[Path]) -> Iterator[Pair | Skipped]:
        told: set[Path] = set()
        for name, found in _read_list(path):
            told.add(self.path / name)
            yield found
        for picture in pictures:
            if picture not in told:
                yield Skipped(self._name(picture), f"a picture without a line in {path.name}")

    def _pair(self, picture: Path, words: Path | None) -> Pair | Skipped:
        name = self._name(picture)
        if words is None:
            return Skipped(name, "a picture without a text")
        try:
            content = words.read_bytes()
            entry = _entry(content) if words.suffix.lower() == ".json" else {"text": _decoded(content)}
            return _pair(entry, picture, name)
        except (OSError, ValueError) as error:
            return Skipped(name, _reason(error))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()


class JsonlSource(FileSource):
    """One JSON object a line: `image` or `file_name`, `text` or `caption`, perhaps `id`; other keys become tags.

    Relative paths start at the file's folder. A picture may have several lines: without ids of
    their own they are called `a.jpg`, `a.jpg#2`, ...
    """

    looked_for = 'lines such as {"image": "a.jpg", "text": "a red dress"} whose pictures exist'

    def _read(self) -> Iterator[Pair | Skipped]:
        return (found for _, found in _read_list(self.path))


def _read_list(path: Path) -> Iterator[tuple[str, Pair | Skipped]]:
    """Each line's picture as it is written there, and the pair."""
    seen: Counter[str] = Counter()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            name = ""
            try:
                if line.strip():
                    entry = _entry(line)
                    name = _words(entry, IMAGE_KEYS, "no picture named")
                    seen[name] += "id" not in entry
                    own = name if seen[name] < 2 else f"{name}#{seen[name]}"
                    yield name, _pair(entry, path.parent / name, own)
            except (OSError, ValueError) as error:
                yield name, Skipped(f"{path.name}:{number}", _reason(error))


def _pair(entry: Mapping[str, Any], picture: Path, name: str) -> Pair:
    text = _words(entry, TEXT_KEYS, "no text")
    if not picture.is_file():
        raise ValueError("the picture's file is missing")
    tags = {key: value for key, value in entry.items() if key not in ("id", *IMAGE_KEYS, *TEXT_KEYS)}
    return Pair(_whole(str(entry.get("id", name))), picture, text, tags)


def _entry(content: bytes) -> dict[str, Any]:
    text = _decoded(content)
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("broken JSON") from error
    if not isinstance(entry, dict):
        raise ValueError("JSON, but no object")  # noqa: TRY004 data of others, not a caller's mistake
    return entry


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error


def _words(entry: Mapping[str, Any], keys: tuple[str, ...], otherwise: str) -> str:
    """The first of `keys` that says something."""
    words = (_whole(entry[key]).strip() for key in keys if isinstance(entry.get(key), str))
    found = next(filter(None, words), None)
    if found is None:
        raise ValueError(otherwise)
    return found


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can smuggle in and no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
