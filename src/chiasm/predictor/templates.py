"""Texts to put a label into: what CLIP's authors averaged over to classify ImageNet (arXiv:2103.00020, section 3.1.4).

The list is data that they published: `notebooks/imagenet_data.json` of github.com/openai/CLIP, here in
alphabetical order, which an average does not notice. "itap" is Reddit's "I took a picture".
"""

from collections.abc import Mapping

IMAGENET = tuple(
    """
a bad photo of a {}.
a bad photo of the {}.
a black and white photo of a {}.
a black and white photo of the {}.
a blurry photo of a {}.
a blurry photo of the {}.
a bright photo of a {}.
a bright photo of the {}.
a cartoon {}.
a close-up photo of a {}.
a close-up photo of the {}.
a cropped photo of a {}.
a cropped photo of the {}.
a dark photo of a {}.
a dark photo of the {}.
a doodle of a {}.
a doodle of the {}.
a drawing of a {}.
a drawing of the {}.
a embroidered {}.
a good photo of a {}.
a good photo of the {}.
a jpeg corrupted photo of a {}.
a jpeg corrupted photo of the {}.
a low resolution photo of a {}.
a low resolution photo of the {}.
a origami {}.
a painting of a {}.
a painting of the {}.
a photo of a clean {}.
a photo of a cool {}.
a photo of a dirty {}.
a photo of a hard to see {}.
a photo of a large {}.
a photo of a nice {}.
a photo of a small {}.
a photo of a weird {}.
a photo of a {}.
a photo of many {}.
a photo of my {}.
a photo of one {}.
a photo of the clean {}.
a photo of the cool {}.
a photo of the dirty {}.
a photo of the hard to see {}.
a photo of the large {}.
a photo of the nice {}.
a photo of the small {}.
a photo of the weird {}.
a photo of the {}.
a pixelated photo of a {}.
a pixelated photo of the {}.
a plastic {}.
a plushie {}.
a rendering of a {}.
a rendering of the {}.
a rendition of a {}.
a rendition of the {}.
a sculpture of a {}.
a sculpture of the {}.
a sketch of a {}.
a sketch of the {}.
a tattoo of a {}.
a tattoo of the {}.
a toy {}.
a {} in a video game.
art of a {}.
art of the {}.
graffiti of a {}.
graffiti of the {}.
itap of a {}.
itap of my {}.
itap of the {}.
the cartoon {}.
the embroidered {}.
the origami {}.
the plastic {}.
the plushie {}.
the toy {}.
the {} in a video game.
""".strip().splitlines()
)
ENSEMBLES: Mapping[str, tuple[str, ...]] = {"imagenet": IMAGENET}
