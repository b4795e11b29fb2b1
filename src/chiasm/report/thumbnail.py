"""Small copies of pictures, which travel inside the page."""

import io

from PIL import Image

from chiasm.core.errors import MediaError
from chiasm.data.images import decode
from chiasm.data.pairs import Pair
from chiasm.report.markup import Content, paragraph, picture

SIDE = 320  # pixels of the longer one
QUALITY = 85  # of the JPEG


def thumbnail(pair: Pair) -> Content:
    """The picture of a pair, or why there is none."""
    try:
        image = Image.fromarray(decode(pair.image))
    except MediaError as error:
        return paragraph(f"(the picture cannot be shown: {error.reason})")
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return picture(file.getvalue(), pair.id)
