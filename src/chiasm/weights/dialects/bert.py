"""BERT as `transformers`, ALBEF, BLIP and LAVIS name it, with cross-attention in some layers, and its word head."""

from chiasm.core.dialect import Drop, Rename, Tied, mount


def _attention(theirs: str, ours: str) -> tuple[Rename, ...]:
    parts = {"self.query": "f.q", "self.key": "f.k", "self.value": "f.v", "output.dense": "f.out"}
    norm = Rename(f"{theirs}.output.LayerNorm", f"{ours}.norm")
    return (*(Rename(f"{theirs}.{name}", f"{ours}.{part}") for name, part in parts.items()), norm)


LAYER = (
    *_attention("attention", "attend"),
    *_attention("crossattention", "read"),
    Rename("intermediate.dense", "think.f.up"),
    Rename("output.dense", "think.f.down"),
    Rename("output.LayerNorm", "think.norm"),
)
BERT = (
    Rename("embeddings.word_embeddings", "embed.word"),
    Rename("embeddings.position_embeddings", "embed.position"),
    Rename("embeddings.LayerNorm", "embed.norm"),
    Drop("embeddings.position_ids", "0, 1, 2, ..."),
    *mount(LAYER, theirs="encoder.layer.{i}.", ours="layers.{i}."),
)
# beside `bert.`, whose word embeddings are the output matrix
WORD_HEAD = (
    Rename("cls.predictions.bias", "bias"),
    Rename("cls.predictions.transform.dense", "dense"),
    Rename("cls.predictions.transform.LayerNorm", "norm"),
    Tied("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    Tied("cls.predictions.decoder.bias", "cls.predictions.bias"),
)
