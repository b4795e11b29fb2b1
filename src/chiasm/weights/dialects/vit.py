"""The vision transformer as BLIP's files name it: by `transformers`, and by timm, whom ALBEF, BLIP and LAVIS follow."""

from chiasm.core.dialect import Rename, Split

ATTEND = tuple(f"layers.{{i}}.attend.{part}" for part in ("q", "k", "v"))

BARE_TRANSFORMERS = (
    Rename("embeddings.class_embedding", "first"),
    Rename("embeddings.position_embedding", "position"),
    Rename("embeddings.patch_embedding", "stem"),
    Split("encoder.layers.{i}.self_attn.qkv", ATTEND),
    Rename("encoder.layers.{i}.self_attn.projection", "layers.{i}.attend.out"),
    Rename("encoder.layers.{i}.layer_norm1", "layers.{i}.attend_norm"),
    Rename("encoder.layers.{i}.layer_norm2", "layers.{i}.mlp_norm"),
    Rename("encoder.layers.{i}.mlp.fc1", "layers.{i}.mlp.up"),
    Rename("encoder.layers.{i}.mlp.fc2", "layers.{i}.mlp.down"),
)
TRANSFORMERS = (*BARE_TRANSFORMERS, Rename("post_layernorm", "norm"))
BARE_TIMM = (
    Rename("cls_token", "first"),
    Rename("pos_embed", "position"),
    Rename("patch_embed.proj", "stem"),
    Split("blocks.{i}.attn.qkv", ATTEND),
    Rename("blocks.{i}.attn.proj", "layers.{i}.attend.out"),
    Rename("blocks.{i}.norm1", "layers.{i}.attend_norm"),
    Rename("blocks.{i}.norm2", "layers.{i}.mlp_norm"),
    Rename("blocks.{i}.mlp.fc1", "layers.{i}.mlp.up"),
    Rename("blocks.{i}.mlp.fc2", "layers.{i}.mlp.down"),
)
TIMM = (*BARE_TIMM, Rename("norm", "norm"))
