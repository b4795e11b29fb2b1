"""What a folder holds, by the names in it: pictures, tables, tars, or what Hugging Face's libraries write.

shop/data/train-00000-of-00002.parquet      a data set of the hub
shop/train/metadata.csv + pictures          an "imagefolder"
shop/state.json + data-00000-of-00001.arrow               `Dataset.save_to_disk`
shop/dataset_dict.json + train/state.json + ...           `DatasetDict.save_to_disk`
"""

import re
from collections.abc import Mapping

from chiasm.data.sources.place import Place, inside, place
from chiasm.data.sources.record import parsed

SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}[^/]*\.parquet", re.IGNORECASE)


def held(folder: str) -> tuple[str, str]:
    """Where the files really lie, perhaps as a pattern, and of what kind they are."""
    names = {at.name: at for at in inside(place(folder))}
    if "dataset_dict.json" in names or _sharded(names) or _sharded(_within(names.get("data"))):
        return _only(folder, splits(folder))
    if any(name.endswith(".arrow") for name in names):
        return folder, "arrow"
    for kind in (".parquet", ".tar"):
        if any(name.lower().endswith(kind) or f"{kind}." in name.lower() for name in names):
            return folder, kind
    return folder, "folder"


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


def _only(folder: str, known: Mapping[str, str]) -> tuple[str, str]:
    if len(known) != 1:
        names = sorted(known)
        raise ValueError(f"{folder} has the splits {', '.join(names)}: name one, as in '{folder}?split={names[0]}'")
    (where,) = known.values()
    return where, ".parquet" if where.endswith(".parquet") else "arrow"


def _sharded(names: Mapping[str, Place]) -> list[str]:
    return sorted({match[1] for name in names if (match := SHARD.fullmatch(name))})


def _within(at: Place | None) -> Mapping[str, Place]:
    return {each.name: each for each in inside(at)} if at is not None and at.is_dir() else {}
