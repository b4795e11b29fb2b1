"""What the authors of ALBEF and BLIP published, and LAVIS after them: a pickle of tensors, and no config.

Shapes say what such a file is. What they cannot say is what was published: heads of 64, eps 1e-6 in the
vision tower and 1e-12 in the text. The momentum twin and its queues stay behind: training begins new ones.
"""

import math
from collections.abc import Callable
from typing import Any

from chiasm.core.dialect import Dialect, Drop, Found, Layout, Own, Rename, mount
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.dialects import bert, vit

# whose words all of them read; the commit is the hub's last
BERT, COMMIT = "google-bert/bert-base-uncased", "86b5e0934494bd15c9632b12f734a8a67f723594"
HEAD = 64  # the width of a head in every published file
TEMPERATURE = 0.07  # where training began; files made of transformers' hold none
GONE = (
    "visual_encoder_m", "text_encoder_m", "text_decoder_m", "vision_proj_m", "text_proj_m", "cls_head_m",
    "image_queue", "text_queue", "idx_queue", "queue_ptr", "ptr_queue",
)  # fmt: skip
TWIN = tuple(Drop(name, "of a training that is over") for name in GONE)


def heads(dim: int, each: int) -> int:
    """How many heads of `each` a width makes, where no config says it."""
    if dim % each:
        raise ValueError(
            f"a width of {dim} makes no heads of {each}, as all files of this form have; one with a config.json says "
            "how many there are: convert the model to hf where it was made"
        )
    return dim // each


def vision(found: Found) -> ViT.Config:
    """Of `visual_encoder`."""
    dim, _, patch, _ = found.shape("visual_encoder.patch_embed.proj.weight")
    places = found.shape("visual_encoder.pos_embed")[1] - 1
    return ViT.Config(
        dim=dim,
        depth=found.count("visual_encoder.blocks."),
        heads=heads(dim, HEAD),
        image=patch * math.isqrt(places),
        stem=PatchStem(patch=patch),
        expansion=found.shape("visual_encoder.blocks.0.mlp.fc1.weight")[0] / dim,
    )


def text(found: Found, below: str, keys: str = "self") -> Bert.Config:
    """Of the BERT `below`, whose cross-attention keeps its keys in `keys`."""
    vocab, dim = found.shape(f"{below}embeddings.word_embeddings.weight")
    depth = found.count(f"{below}encoder.layer.")
    across = [f"{below}encoder.layer.{i}.crossattention.{keys}.key.weight" for i in range(depth)]
    reads = tuple(i for i, name in enumerate(across) if name in found.shapes)
    if not reads:
        raise ValueError(f"none of the {depth} layers of {below.rstrip('.')} reads a picture")
    return Bert.Config(
        vocab=vocab,
        image_dim=found.shape(across[reads[0]])[1],
        dim=dim,
        depth=depth,
        heads=heads(dim, HEAD),
        reads=reads,
        max_len=found.shape(f"{below}embeddings.position_embeddings.weight")[0],
        expansion=found.shape(f"{below}encoder.layer.0.intermediate.dense.weight")[0] / dim,
    )


def sees(ours: str) -> Dialect:
    """`visual_encoder`."""
    return mount(vit.TIMM, theirs="visual_encoder.", ours=ours)


def aligns(ours: str) -> Dialect:
    """What aligns and matches, but for the text encoder."""
    towers = f"{ours}towers."
    return (
        *sees(f"{towers}vision."),
        *bert.two_heads(towers),
        Rename("itm_head", f"{ours}match_head"),
        Rename("temp", f"{ours}temperature", TEMPERATURE),
        Own(f"{ours}alignment"),
    )


def layout(graph: type, fits: Callable[[Found], bool], read: Callable[[Found], Any], *rules: Dialect) -> Layout:
    """Nothing is written beside the tensors."""
    every = (*(rule for part in rules for rule in part), *TWIN)
    return Layout(format="lavis", graph=graph, fits=fits, read=read, write=lambda _: {}, rules=every)
