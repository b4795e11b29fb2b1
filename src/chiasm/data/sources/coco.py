"""Captions as COCO and its kin write them: one JSON file of everything.

COCO       {"images": [{"id": 9, "file_name": "a.jpg"}], "annotations": [{"image_id": 9, "caption": "a dog"}]}
Karpathy   {"images": [{"filepath": "val2014", "filename": "a.jpg", "sentences": [{"raw": "a dog"}]}]}
BLIP       [{"image": "val2014/a.jpg", "caption": "a dog"}]
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from chiasm.data.sources.files import FileSource
from chiasm.data.sources.lists import Listed, listed
from chiasm.data.sources.place import Place
from chiasm.data.sources.record import Skipped, parsed_json, picture_of, reason_of

Records = Iterator[tuple[str, Mapping[str, Any] | str]]  # what it is called, and what it says or is wrong with
PROBED = 20  # pictures that are looked for in each folder


class CocoSource(FileSource):
    """A JSON file of pictures and captions; a caption is a pair, called by its own id.

    The pictures lie beside the file, in a folder called `images` or like the split in the file's
    name (`captions_val2017.json`: `val2017`), or in one of these a floor above.
    """

    looked_for = (
        'an object with "images" and "annotations" that have captions, or a list of objects with "image" and "caption"'
    )

    def _read(self) -> Iterator[Listed | Skipped]:
        try:
            content = parsed_json(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.path}: {reason_of(error)}; looked for {self.looked_for}") from error
        records = list(_records(content))
        names = [name for _, record in records if (name := _name(record))]
        folder = self._folder(names)
        seen: Counter[str] = Counter()
        for place, record in records:
            if isinstance(record, str):
                yield Skipped(f"{self.path.name}:{place}", record)
                continue
            try:
                name = picture_of(record)
                yield from listed(record, folder, name, seen)
            except (OSError, ValueError) as error:
                yield Skipped(f"{self.path.name}:{place}", reason_of(error))

    def _folder(self, names: Sequence[str]) -> Place:
        """Where the pictures are: the first folder that has one of the first few."""
        split = Path(self.path.name).stem.rpartition("_")[2]
        folders = [
            folder
            for home in (self.path.parent, self.path.parent.parent)
            for folder in (home, home / "images", home / split, home / "images" / split)
        ]
        probed = list(islice(dict.fromkeys(names), PROBED))
        for folder in folders:
            if any((folder / name).is_file() for name in probed):
                return folder
        if not probed:
            return self.path.parent
        raise ValueError(
            f"the pictures of {self.path} were not found: {probed[0]!r} and the next {len(probed) - 1} are in none of "
            f"{', '.join(dict.fromkeys(map(str, folders)))}; put the pictures, or a link to them, into one of these"
        )


def _name(record: Mapping[str, Any] | str) -> str:
    try:
        return "" if isinstance(record, str) else picture_of(record)
    except ValueError:
        return ""


def _records(content: Any) -> Records:
    """What the file says of each caption, whichever form it has; positions name what has no id."""
    match content:
        case {"images": list(images), "annotations": list(annotations)}:
            return _joined(images, annotations)
        case {"images": list(images)}:
            return _sentences(images)
        case list():
            return ((f"[{i}]", each if isinstance(each, dict) else "no object") for i, each in enumerate(content))
        case _:
            return iter(())


def _joined(images: Sequence[Any], annotations: Sequence[Any]) -> Records:
    """COCO's own: captions point to pictures."""
    pictures = {str(image["id"]): image for image in images if isinstance(image, dict) and "id" in image}
    told: set[str] = set()
    for i, note in enumerate(annotations):
        if not isinstance(note, dict) or "caption" not in note:
            yield f"annotations[{i}]", "an annotation without a caption"
        elif (image := pictures.get(str(note.get("image_id")))) is None:
            yield f"annotations[{i}]", "an annotation of no known picture"
        else:
            told.add(str(image["id"]))
            yield f"annotations[{i}]", {"file_name": image.get("file_name")} | note
    for key in sorted(pictures.keys() - told):
        yield f"images[{key}]", "a picture without a caption"


def _sentences(images: Sequence[Any]) -> Records:
    """Karpathy's: pictures hold their sentences."""
    for i, image in enumerate(images):
        match image:
            case {"filename": str(name), "sentences": list(sentences)}:
                folder = image.get("filepath")
                facts = {key: image[key] for key in ("split", "cocoid", "imgid") if key in image}
                texts = [each.get("raw") for each in sentences if isinstance(each, dict)]
                yield f"images[{i}]", {"image": f"{folder}/{name}" if folder else name, "captions": texts} | facts
            case _:
                yield f"images[{i}]", "no filename, or no sentences"
