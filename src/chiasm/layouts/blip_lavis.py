"""BLIP's original files, and LAVIS's: a pickle of tensors and no config, so that shapes say what it is.

What shapes cannot say is what was published: heads of 64, eps 1e-6 in the vision tower and 1e-12 in
the text, label smoothing 0.1.
"""

import math

from chiasm.archetypes.med import Captioner
from chiasm.core.dialect import Found, Layout, Rule, mount
from chiasm.core.types import Markers
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT
from chiasm.weights.dialects import bert, vit

HEAD = 64  # the width of a head in every published BLIP
# bert-base-uncased and two tokens more, as in the released files
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=30_522, enc=30_523)
EYES, WRITER, READER = "visual_encoder.cls_token", "text_decoder.cls.predictions.bias", "text_encoder.embeddings."


def _captions(found: Found) -> bool:
    reads = any(name.startswith(READER) for name in found.shapes)
    return EYES in found.shapes and WRITER in found.shapes and not reads


def _vision(found: Found) -> ViT.Config:
    dim, _, patch, _ = found.shape("visual_encoder.patch_embed.proj.weight")
    places = found.shape("visual_encoder.pos_embed")[1] - 1
    return ViT.Config(
        dim=dim,
        depth=found.count("visual_encoder.blocks."),
        heads=dim // HEAD,
        image=patch * math.isqrt(places),
        stem=PatchStem(patch=patch),
    )


def _text(found: Found, below: str) -> Bert.Config:
    vocab, dim = found.shape(f"{below}embeddings.word_embeddings.weight")
    depth = found.count(f"{below}encoder.layer.")
    return Bert.Config(
        vocab=vocab,
        image_dim=found.shape(f"{below}encoder.layer.0.crossattention.self.key.weight")[1],
        dim=dim,
        depth=depth,
        heads=dim // HEAD,
        reads=tuple(range(depth)),
        max_len=found.shape(f"{below}embeddings.position_embeddings.weight")[0],
    )


def _read_captioner(found: Found) -> Captioner.Config:
    return Captioner.Config(vision=_vision(found), text=_text(found, "text_decoder.bert."), markers=MARKERS)


SEES: tuple[Rule, ...] = mount(vit.TIMM, theirs="visual_encoder.", ours="vision.")
WRITES: tuple[Rule, ...] = (
    *mount(bert.BERT, theirs="text_decoder.bert.", ours="decoder."),
    *mount(bert.WORD_HEAD, theirs="text_decoder.", ours="word_head."),
)

LAYOUTS = (
    Layout(
        format="lavis",
        graph=Captioner.Config,
        fits=_captions,
        read=_read_captioner,
        write=lambda _: {},
        rules=(*SEES, *WRITES),
    ),
)
