"""Where pairs come from: one file a kind of source."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from chiasm.data.pairs import Source

UNDERSTOOD = (
    "a folder of pictures with texts, a folder of .parquet files, a .jsonl or .parquet file, "
    "'world:single?count=8000' or 'emoji?split=train'"
)
# kind -> module and function; the module is imported when a source of the kind is opened
PATHS: Mapping[str, tuple[str, str]] = {
    "folder": ("files", "FolderSource"),
    ".jsonl": ("files", "JsonlSource"),
    ".parquet": ("parquet", "ParquetSource"),
}
MADE: Mapping[str, tuple[str, str]] = {"world": ("world", "open_world"), "emoji": ("emoji", "open_emoji")}


def open_source(where: str | Path) -> Source:
    """Pairs by a path, or by the name of a made source; a path that exists wins."""
    path = Path(where)
    if not path.exists():
        name = str(where).partition("?")[0].partition(":")[0]
        if name not in MADE:
            raise ValueError(f"{where} does not exist; a source is {UNDERSTOOD}")
        return _call(MADE[name], str(where))
    kind = path.suffix.lower()
    if path.is_dir():
        kind = ".parquet" if any(path.glob("*.parquet")) else "folder"
    if kind not in PATHS:
        raise ValueError(f"{where} is of no known kind; a source is {UNDERSTOOD}")
    return _call(PATHS[kind], path)


def _call(home: tuple[str, str], where: str | Path) -> Source:
    module, name = home
    return vars(import_module(f"{__name__}.{module}"))[name](where)
