"""BLIP-2's first stage as LAVIS has it: everything below `visual_encoder`, `ln_vision`, `query_tokens` and `Qformer`.

Shapes say what such a file is, and its names whose tower: EVA's by timm, or CLIP's by OpenAI. What they cannot say
is what was published: heads of 88 in EVA's tower and of 64 elsewhere, and every second layer that reads.
"""

import math
from typing import NoReturn

from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.core.dialect import Dialect, Found, Layout, Rename, mount
from chiasm.core.system import Vocabulary
from chiasm.core.types import Markers
from chiasm.layouts.original import BERT, COMMIT, HEAD, TEMPERATURE, heads
from chiasm.nn.mlp import Activation
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import Bare, NormedStem, PatchStem, ViT
from chiasm.weights.dialects import bert, clip, eva, qformer

# bert-base-uncased and [DEC]; a match has no token of its own
MARKERS = Markers(pad=0, cls=101, sep=102, mask=103, dec=30_522, enc=101)
WORDS = Vocabulary(name=BERT, revision=COMMIT, words=30_523)  # of the Q-Former
EVA_HEAD = 88
EVA, CLIP = "visual_encoder.patch_embed.proj.weight", "visual_encoder.conv1.weight"
PARTS = {"query_tokens", "Qformer.cls.predictions.bias", "itm_head.weight"}
BLOCK = "visual_encoder.transformer.resblocks."


def read_tower(found: Found) -> ViT.Config | None:
    """What sees pictures there, unless it is left out."""
    if found.shapes.keys() >= {EVA, "ln_vision.weight"}:
        return _read_eva(found)
    return _read_clip(found) if found.shapes.keys() >= {CLIP, "ln_vision.weight"} else None


def tower(eyes: ViT.Config, *, ours: str) -> Dialect:
    """What such a tower's tensors are called, and what they are here."""
    table = eva.LAVIS if isinstance(eyes.stem, PatchStem) else clip.BARE
    return mount(table, theirs="visual_encoder.", ours=f"{ours}.")


def _read_eva(found: Found) -> ViT.Config:
    dim, _, patch, _ = found.shape(EVA)
    return ViT.Config(
        dim=dim,
        depth=found.count("visual_encoder.blocks."),
        heads=heads(dim, EVA_HEAD),
        image=patch * math.isqrt(found.shape("visual_encoder.pos_embed")[1] - 1),
        stem=PatchStem(patch=patch),
        expansion=found.shape("visual_encoder.blocks.0.mlp.fc1.weight")[0] / dim,
        end=Bare(),
    )


def _read_clip(found: Found) -> ViT.Config:
    dim, _, patch, _ = found.shape(CLIP)
    return ViT.Config(
        dim=dim,
        depth=found.count(BLOCK),
        heads=heads(dim, HEAD),
        image=patch * math.isqrt(found.shape("visual_encoder.positional_embedding")[0] - 1),
        stem=NormedStem(patch=patch),
        expansion=found.shape(f"{BLOCK}0.mlp.c_fc.weight")[0] / dim,
        activation=Activation.QUICK_GELU,
        end=Bare(),
        eps=1e-5,
    )


def read_qformer(found: Found, *, image_dim: int, theirs: str = "") -> QFormer.Config:
    """The Q-Former, with words if there are any, where their names begin with `theirs`."""
    below = f"{theirs}Qformer.bert.encoder.layer."
    words, places = (f"{theirs}Qformer.bert.embeddings.{part}_embeddings.weight" for part in ("word", "position"))
    depth, (_, queries, dim) = found.count(below), found.shape(f"{theirs}query_tokens")
    reads = tuple(i for i in range(depth) if f"{below}{i}.crossattention.self.key.weight" in found.shapes)
    text = None
    if words in found.shapes:
        text = Words(vocab=found.shape(words)[0], max_len=found.shape(places)[0])
    return QFormer.Config(
        image_dim=image_dim, text=text, queries=queries, dim=dim, depth=depth, heads=heads(dim, HEAD), reads=reads,
        expansion=found.shape(f"{below}0.intermediate_query.dense.weight")[0] / dim,
    )  # fmt: skip


def asks(*, norm: str, looks: str, theirs: str = "", normed: str = "ln_vision") -> Dialect:
    """The tower's norm, and what the queries need of the Q-Former, which `looks`: what each is called here.

    Their names begin with `theirs`, and their norm is `normed`.
    """
    return (
        Rename(normed, norm),
        Rename(f"{theirs}query_tokens", f"{looks}.queries"),
        *mount(qformer.LAVIS, theirs=f"{theirs}Qformer.bert.", ours=f"{looks}."),
    )


def _read(found: Found) -> QueryAligner.Config:
    if (eyes := read_tower(found)) is None:
        raise ValueError(
            f"a BLIP-2 file of {len(found.shapes)} tensors lacks visual_encoder: LAVIS saves what it trains, and "
            "fetches the frozen tower (EVA-CLIP ViT-g or CLIP ViT-L) elsewhere. Pass base= (--base), the same model as "
            "transformers has it, or load it in LAVIS and save all of it, "
            'torch.save({"model": model.state_dict()}, "whole.pth")'
        )
    towers = QueryRetriever.Config(
        vision=eyes,
        qformer=read_qformer(found, image_dim=eyes.dim),
        markers=MARKERS,
        embed=found.shape("vision_proj.weight")[0],
    )
    return QueryAligner.Config(retriever=towers)


def _rules(cfg: QueryAligner.Config) -> Dialect:
    return (
        *tower(cfg.retriever.vision, ours="retriever.vision"),
        *asks(norm="retriever.vision_norm", looks="retriever.qformer"),
        *mount(qformer.LAVIS_TEXT, theirs="Qformer.bert.", ours="retriever.qformer."),
        *mount(bert.WORD_HEAD, theirs="Qformer.", ours="word_head."),
        *bert.two_heads("retriever."),
        Rename("itm_head", "retriever.match_head"),
        Rename("temp", "retriever.temperature", TEMPERATURE),
    )


def _lacks(_: QueryRetriever.Config) -> NoReturn:
    raise ValueError(
        "LAVIS's first stage also writes, by Qformer.cls, and this model compares and matches alone: it was loaded "
        "from a form that holds no such head"
    )


LAYOUTS = (
    Layout(
        format="lavis",
        graph=QueryAligner.Config,
        holds=lambda cfg: isinstance(cfg.retriever.vision.stem, PatchStem | NormedStem),
        fits=lambda found: found.shapes.keys() >= PARTS,
        read=_read,
        write=lambda _: {},
        rules=(),
        more=_rules,
    ),
    Layout(format="lavis", graph=QueryRetriever.Config, fits=lambda _: False, read=_read, write=_lacks, rules=()),
)
