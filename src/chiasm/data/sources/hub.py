"""What a folder holds, by the names in it: pictures, tables, tars, or what Hugging Face's libraries write.

shop/data/train-00000-of-00002.parquet      a data set of the hub
shop/train/metadata.csv + pictures          an "imagefolder"
shop/state.json + data-00000-of-00001.arrow               `Dataset.save_to_disk`
shop/dataset_dict.json + train/state.json + ...           `DatasetDict.save_to_disk`
"""

import re
from collections.abc import Mapping
from posixpath import splitext

from chiasm.data.sources.place import Place, below, inside, place
from chiasm.data.sources.record import parsed

# what files of the formats in `data/formats.py` are called
PICTURES = {
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".ico", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe",
    ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tif", ".tiff", ".webp",
}  # fmt: skip
LISTS = tuple(f"{name}.{kind}" for name in ("captions", "metadata") for kind in ("jsonl", "csv", "tsv"))
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}[^/]*\.parquet", re.IGNORECASE)


def held(folder: str) -> tuple[str, str]:
    """Where the files really lie, perhaps as a pattern, and of what kind they are."""
    names = {at.name: at for at in inside(place(folder))}
    if "dataset_dict.json" in names or _sharded(names) or _sharded(_within(names.get("data"))):
        return _only(folder, splits(folder))
    packed = sorted({kind for name in names if (kind := shard_kind(name))})
    if not packed or _lie_open(folder):
        return folder, "folder"
    if len(packed) > 1:
        raise ValueError(f"{folder} holds {' and '.join(packed)} files: say which, as in '{folder}/*{packed[-1]}'")
    return folder, packed[0]


def shard_kind(name: str) -> str:
    """What a file of many pairs is, by its name; "" for any other."""
    name = name.lower()
    return ".tar" if name.endswith(TARS) else next((kind for kind in (".arrow", ".parquet") if name.endswith(kind)), "")


def splits(folder: str) -> Mapping[str, str]:
    """The parts that the folder is in: name, and where its files lie."""
    at = place(folder)
    names = {each.name: each for each in inside(at)}
    if "dataset_dict.json" in names:
        told = parsed(names["dataset_dict.json"].read_bytes()).get("splits")
        return {str(name): f"{folder}/{name}" for name in (told if isinstance(told, list) else [])}
    for home, within in ((folder, names), (f"{folder}/data", _within(names.get("data")))):
        if found := _sharded(within):
            return {name: f"{home}/{name}-*-of-*.parquet" for name in found}
    return {name: f"{folder}/{name}" for name, each in names.items() if each.is_dir()}


def split_of(folder: str, split: str) -> str:
    """Where the files of a split lie."""
    if not place(folder).is_dir():
        raise ValueError(f"{folder} is no folder, so it has no split {split!r}")
    known = splits(folder)
    if split not in known:
        raise ValueError(f"{folder} has no split {split!r}, only {', '.join(sorted(known)) or 'files'}")
    return known[split]


def _lie_open(folder: str) -> bool:
    """Whether pictures with their words are there, whatever else is: a stray table must not take their place."""
    names = {name for name, _ in below(place(folder))}
    pictures = [splitext(name)[0] for name in names if splitext(name)[1].lower() in PICTURES]
    listed = bool(names & {*LISTS})
    return any(listed or {f"{stem}.txt", f"{stem}.json"} & names for stem in pictures)


def _only(folder: str, known: Mapping[str, str]) -> tuple[str, str]:
    if len(known) != 1:
        names = sorted(known)
        raise ValueError(f"{folder} has the splits {', '.join(names)}: name one, as in '{folder}?split={names[0]}'")
    (where,) = known.values()
    return where, ".parquet" if where.endswith(".parquet") else ".arrow"


def _sharded(names: Mapping[str, Place]) -> list[str]:
    return sorted({match[1] for name in names if (match := SHARD.fullmatch(name))})


def _within(at: Place | None) -> Mapping[str, Place]:
    return {each.name: each for each in inside(at)} if at is not None and at.is_dir() else {}
