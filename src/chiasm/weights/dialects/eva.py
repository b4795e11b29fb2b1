"""EVA-CLIP's tower as LAVIS has it: timm's names, no norm at the end, and queries and values that have biases alone.

A bias of the keys adds the same number to all that a place may look at, so ours may be zeros, or left out.
"""

from chiasm.core.dialect import Dialect, Rename, Split, Zeros
from chiasm.weights.dialects.vit import ATTEND, BARE_TIMM

FUSED = "blocks.{i}.attn.qkv"

LAVIS: Dialect = (
    *(rule for rule in BARE_TIMM if rule.theirs != FUSED),
    Split(f"{FUSED}.weight", tuple(f"{part}.weight" for part in ATTEND)),
    Rename("blocks.{i}.attn.q_bias", "layers.{i}.attend.q.bias"),
    Rename("blocks.{i}.attn.v_bias", "layers.{i}.attend.v.bias"),
    Zeros("layers.{i}.attend.k.bias", "layers.{i}.attend.q.bias"),
)
