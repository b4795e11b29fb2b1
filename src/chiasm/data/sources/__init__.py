"""Where pairs come from: one file a kind of source."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from chiasm.data.pairs import Source
from chiasm.data.sources.hub import held, shard_kind, split_of
from chiasm.data.sources.place import expand, is_pattern, is_url, place

UNDERSTOOD = (
    "a folder of pictures with texts, of .parquet files, of .tar files, or one that save_to_disk wrote; "
    "a .jsonl, .csv, .tsv, .json (COCO), .parquet or .tar file; a pattern such as 'shards/{000..099}.tar'; "
    "any of these behind a URL; 'world:single?count=8000' or 'emoji?split=train'; a mixture 'mix:3*A + 1*B'"
)
# kind -> module and function; the module is imported when a source of the kind is opened
PATHS: Mapping[str, tuple[str, str]] = {
    "folder": ("files", "FolderSource"),
    ".arrow": ("arrow", "ArrowSource"),
    ".jsonl": ("files", "JsonlSource"),
    ".csv": ("files", "TableSource"),
    ".tsv": ("files", "TableSource"),
    ".json": ("coco", "CocoSource"),
    ".parquet": ("parquet", "ParquetSource"),
    ".tar": ("tars", "TarSource"),
}
MADE: Mapping[str, tuple[str, str]] = {
    "world": ("world", "open_world"),
    "questions": ("tasks", "open_questions"),
    "statements": ("tasks", "open_statements"),
    "entailment": ("tasks", "open_entailment"),
    "sound": ("senses", "open_sensed"),
    "points": ("senses", "open_sensed"),
    "video": ("senses", "open_sensed"),
    "asked": ("senses", "open_asked"),
    "joint": ("senses", "open_joint"),
    "emoji": ("emoji", "open_emoji"),
}


def open_source(where: str | Path) -> Source:
    """Pairs by a path, a URL, a pattern, or the name of a made source; a path that exists wins."""
    spec = str(where)
    if not is_url(spec) and Path(where).exists():
        return _open_path(spec)
    kind = spec.partition("?")[0].partition(":")[0]
    if kind == "mix":
        from chiasm.data.sources.mix import open_mixture  # noqa: PLC0415 torch comes with it

        return open_mixture(spec, open_source)
    folder, asked, split = spec.rpartition("?split=")
    if asked and kind not in MADE:
        return _open_path(split_of(folder, split))
    if is_pattern(spec):
        return _open_pattern(spec)
    if is_url(spec):
        return _open_path(spec)
    if kind not in MADE:
        raise ValueError(f"{where} does not exist; a source is {UNDERSTOOD}")
    return _call(MADE[kind], spec)


def is_source(where: str) -> bool:
    """Whether a place is pairs by its name alone; a folder may be either, and what does not exist at all is not."""
    if not is_url(where) and Path(where).exists():
        return not Path(where).is_dir() and _kind(Path(where).name) in PATHS
    made = where.partition("?")[0].partition(":")[0] in {*MADE, "mix"}
    return made or is_url(where) or is_pattern(where) or "?split=" in where


def anchored(where: str | Path) -> str:
    """The same source by a name that is good in any folder."""
    spec = str(where)
    if is_url(spec):
        return spec
    if Path(where).exists():
        return str(Path(where).resolve())
    if spec.startswith("mix:"):
        from chiasm.data.sources.mix import parts_of  # noqa: PLC0415 torch comes with it

        parts = [(f"{weight:g}*" if weight else "", anchored(part)) for weight, part in parts_of(spec)]
        return "mix:" + " + ".join(weight + part for weight, part in parts)
    made = spec.partition("?")[0].partition(":")[0] in MADE
    return str(Path(spec).absolute()) if not made and (is_pattern(spec) or "?split=" in spec) else spec


def _open_path(where: str) -> Source:
    """What lies at one place, or, where splits are asked for, in the files of one."""
    if is_pattern(where) and not Path(where).exists():
        return _open_pattern(where)
    at = place(where)
    if not at.exists():
        raise ValueError(f"{where} does not exist; a source is {UNDERSTOOD}")
    if at.is_dir():
        where, kind = held(where)
    else:
        kind = _kind(at.name) if at.is_file() else ""  # a pipe might never end
    if kind not in PATHS:
        raise ValueError(f"{where} is of no known kind; a source is {UNDERSTOOD}")
    return _call(PATHS[kind], where)


def _open_pattern(pattern: str) -> Source:
    """Many files that are one source: tars, tables of one kind."""
    found = expand(pattern)
    kinds = {_kind(at.name) for at in found}
    if not found:
        raise ValueError(f"nothing is called {pattern}; a source is {UNDERSTOOD}")
    if kinds - {".tar", ".parquet"} or len(kinds) > 1:
        raise ValueError(f"{pattern} is {', '.join(sorted(kinds))}, but a pattern is for .tar or .parquet files alone")
    if not any(at.exists() for at in found):
        raise ValueError(f"none of the {len(found)} files of {pattern} exists, neither {found[0]} nor the others")
    return _call(PATHS[kinds.pop()], pattern)


def _kind(name: str) -> str:
    """The ending, without that of a compression of tars."""
    return shard_kind(name) or Path(name).suffix.lower()


def _call(home: tuple[str, str], where: str) -> Source:
    module, name = home
    return vars(import_module(f"{__name__}.{module}"))[name](where)
