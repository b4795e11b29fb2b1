"""CLIP's two towers as `transformers` names them, and as OpenAI does, whom OpenCLIP follows.

OpenAI's projections stand on the right of what they project, ours on the left.
"""

from chiasm.core.dialect import Dialect, Drop, Rename, Split, Transform, mount

COUNTED = "0, 1, 2, ..."


def _rows(theirs: str, ours: str) -> Transform:
    """What is added to all rows of a batch: ours has a dimension for them."""
    return Transform(theirs, ours, lambda value: value[None], lambda value: value[0])


def turned(theirs: str, ours: str) -> Transform:
    """A map that stands on the right of what it maps."""
    return Transform(theirs, ours, lambda value: value.T, lambda value: value.T)


def _first(theirs: str) -> Transform:
    return Transform(theirs, "first", lambda value: value[None, None], lambda value: value[0, 0])


_LAYER: Dialect = (
    *(Rename(f"self_attn.{part}_proj", f"attend.{part}") for part in ("q", "k", "v", "out")),
    Rename("layer_norm1", "attend_norm"),
    Rename("layer_norm2", "mlp_norm"),
    Rename("mlp.fc1", "mlp.up"),
    Rename("mlp.fc2", "mlp.down"),
)
_LAYERS = mount(_LAYER, theirs="encoder.layers.{i}.", ours="layers.{i}.")
_VISION: Dialect = (
    _first("embeddings.class_embedding"),
    _rows("embeddings.position_embedding.weight", "position"),
    Rename("embeddings.patch_embedding", "stem"),
    Drop("embeddings.position_ids", COUNTED),
    Rename("pre_layrnorm", "enter"),
    Rename("post_layernorm", "norm"),
    *_LAYERS,
)
_TEXT: Dialect = (
    Rename("embeddings.token_embedding", "word"),
    Rename("embeddings.position_embedding.weight", "position"),
    Drop("embeddings.position_ids", COUNTED),
    Rename("final_layer_norm", "norm"),
    *_LAYERS,
)
TRANSFORMERS: Dialect = (
    *mount(_VISION, theirs="vision_model.", ours="vision."),
    *mount(_TEXT, theirs="text_model.", ours="text."),
    Rename("visual_projection", "image_head"),
    Rename("text_projection", "text_head"),
    Rename("logit_scale", "log_scale"),
)

_BLOCK: Dialect = (
    *(Split(f"attn.in_proj_{kind}", tuple(f"attend.{part}.{kind}" for part in "qkv")) for kind in ("weight", "bias")),
    Rename("attn.out_proj", "attend.out"),
    Rename("ln_1", "attend_norm"),
    Rename("ln_2", "mlp_norm"),
    Rename("mlp.c_fc", "mlp.up"),
    Rename("mlp.c_proj", "mlp.down"),
)
_BLOCKS = mount(_BLOCK, theirs="transformer.resblocks.{i}.", ours="layers.{i}.")
BARE: Dialect = (
    _first("class_embedding"),
    _rows("positional_embedding", "position"),
    Rename("conv1", "stem"),
    Rename("ln_pre", "enter"),
    *_BLOCKS,
)
_READS: Dialect = (
    Rename("token_embedding", "word"),
    Rename("positional_embedding", "position"),
    Rename("ln_final", "norm"),
    *_BLOCKS,
)
OPENAI: Dialect = (
    *mount((*BARE, Rename("ln_post", "norm")), theirs="visual.", ours="vision."),
    *mount(_READS, ours="text."),
    turned("visual.proj", "image_head.weight"),
    turned("text_projection", "text_head.weight"),
    Rename("logit_scale", "log_scale"),
    *(Drop(name, "sizes, which the shapes say too") for name in ("input_resolution", "context_length", "vocab_size")),
)
