"""The Q-Former as LAVIS and `transformers` name it: BERT's layers, and a second MLP for the queries.

What only words need has tables of its own: behind a language model the published files have no words.
"""

from chiasm.core.dialect import Dialect, Rename, mount
from chiasm.weights.dialects import bert


def _layers(inside: str) -> Dialect:
    """All that queries need of a layer."""
    rules = (
        *bert.attention("attention", "attend", inside),
        *bert.attention("crossattention", "read", inside),
        *bert.mlp("intermediate_query", "output_query", "think."),
    )
    return mount(rules, theirs="encoder.layer.{i}.", ours="layers.{i}.")


_TEXT: Dialect = mount(bert.mlp("intermediate", "output"), theirs="encoder.layer.{i}.", ours="text.think.{i}.")
_EMBED: Dialect = (Rename("word_embeddings", "text.word"), Rename("position_embeddings", "text.position"))

# below `Qformer.bert.`; the queries themselves stand outside, as `query_tokens`
LAVIS: Dialect = (*_layers("self"), Rename("embeddings.LayerNorm", "norm"))
LAVIS_TEXT: Dialect = (*_TEXT, *mount(_EMBED, theirs="embeddings."), bert.NUMBERS)
# below `qformer.`
TRANSFORMERS: Dialect = (*_layers("attention"), Rename("layernorm", "norm"))
TRANSFORMERS_TEXT: Dialect = _TEXT
# below `embeddings.` in BLIP-2
TRANSFORMERS_EMBED: Dialect = _EMBED
# below `qformer.` in InstructBLIP
INSTRUCTBLIP: Dialect = (
    *_layers("attention"),
    *_TEXT,
    Rename("embeddings.layernorm", "norm"),
    *mount(_EMBED, theirs="embeddings."),
    bert.NUMBERS,
)
