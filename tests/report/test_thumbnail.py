"""Small pictures on a page: a JPEG of the right shape, or the reason why there is none."""

import base64
import io
import re

import numpy as np
from PIL import Image

from chiasm.data.pairs import Pair
from chiasm.report.markup import Html
from chiasm.report.thumbnail import SIDE, thumbnail


def test_it_is_a_small_jpeg_of_the_same_shape() -> None:
    pixels = np.zeros((500, 1000, 3), np.uint8)
    pixels[:, 500:] = (200, 30, 40)
    drawn = thumbnail(Pair("a <b>", pixels, "text"))
    assert isinstance(drawn, Html)
    assert 'alt="a &lt;b&gt;"' in drawn.markup
    (data,) = re.findall(r"data:image/jpeg;base64,([^\"]+)", drawn.markup)
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.size == (SIDE, SIDE // 2)
    assert np.abs(np.asarray(image)[10, -10].astype(int) - (200, 30, 40)).max() < 8


def test_a_broken_one_is_said_to_be() -> None:
    drawn = thumbnail(Pair("a", b"", "text"))
    assert isinstance(drawn, Html)
    assert "cannot be shown: is empty (0 bytes)" in drawn.markup
