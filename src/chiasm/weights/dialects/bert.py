"""BERT as `transformers`, ALBEF, BLIP and LAVIS name it, with cross-attention in some layers, and its word head."""

from collections.abc import Iterable

from chiasm.core.dialect import Dialect, Drop, Rename, Rule, Tied, mount

INSIDE = {"self.query": "q", "self.key": "k", "self.value": "v", "output.dense": "out"}


def attention(theirs: str, ours: str, inside: str = "self") -> tuple[Rename, ...]:
    """One attention and its norm; its queries, keys and values are `inside`."""
    names = {name.replace("self", inside): part for name, part in INSIDE.items()}
    parts = (Rename(f"{theirs}.{name}", f"{ours}.f.{part}") for name, part in names.items())
    return (*parts, Rename(f"{theirs}.output.LayerNorm", f"{ours}.norm"))


def mlp(up: str, down: str, ours: str = "") -> tuple[Rename, ...]:
    """The MLP of a layer and its norm."""
    return (
        Rename(f"{up}.dense", f"{ours}f.up"),
        Rename(f"{down}.dense", f"{ours}f.down"),
        Rename(f"{down}.LayerNorm", f"{ours}norm"),
    )


def _pair(number: int, reader: str) -> Dialect:
    """One of two cross-attentions side by side (BLIP's NLVR2)."""
    names = {
        name.replace("self.", f"self{number}.").replace("dense", f"dense{number}"): part
        for name, part in INSIDE.items()
    }
    return tuple(Rename(f"crossattention.{name}", f"read.f.{reader}.{part}") for name, part in names.items())


ATTEND = attention("attention", "attend")
READ = attention("crossattention", "read")
READ_TWO = (
    *_pair(0, "first"),
    *_pair(1, "second"),
    Rename("crossattention.output.merge_layer", "read.f.merge"),
    Rename("crossattention.output.LayerNorm", "read.norm"),
)
THINK = mlp("intermediate", "output", "think.")
EMBED = (
    Rename("embeddings.word_embeddings", "embed.word"),
    Rename("embeddings.position_embeddings", "embed.position"),
    Rename("embeddings.LayerNorm", "embed.norm"),
)
NUMBERS = Drop("embeddings.position_ids", "0, 1, 2, ...")


LAYER = (*ATTEND, *READ, *THINK)


def _layers(rules: Iterable[Rule]) -> Dialect:
    return mount(rules, theirs="encoder.layer.{i}.", ours="layers.{i}.")


BERT = (*EMBED, NUMBERS, *_layers(LAYER))
BERT_OF_TWO_PICTURES = (*EMBED, NUMBERS, *_layers((*ATTEND, *READ_TWO, *THINK)))
# beside `bert.`, whose word embeddings are the output matrix
WORD_HEAD = (
    Rename("cls.predictions.bias", "bias"),
    Rename("cls.predictions.transform.dense", "dense"),
    Rename("cls.predictions.transform.LayerNorm", "norm"),
    Tied("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    Tied("cls.predictions.decoder.bias", "cls.predictions.bias"),
)


def writer(decoder: str, head: str) -> Dialect:
    """`text_decoder` and its word head, which are below `decoder` and `head` in ours."""
    words = mount(WORD_HEAD, theirs="text_decoder.", ours=head)
    return (*mount(BERT, theirs="text_decoder.bert.", ours=decoder), *words)


def sharing_writer(decoder: str, head: str) -> Dialect:
    """The same where all but self-attention is that of `text_encoder`: BLIP stores it twice."""
    below, encoder = "text_decoder.bert.", "text_encoder."
    embed = [f"embeddings.{part}" for part in ("word_embeddings", "position_embeddings", "LayerNorm")]
    layer = [f"encoder.layer.{{i}}.{part}" for part in ("crossattention", "intermediate", "output")]
    return (
        *mount(_layers(ATTEND), theirs=below, ours=decoder),
        *(Tied(below + name, encoder + name) for name in (*embed, *layer)),
        *mount((NUMBERS,), theirs=below),
        *mount(WORD_HEAD, theirs="text_decoder.", ours=head),
    )


def two_heads(towers: str) -> Dialect:
    """Where picture and text meet."""
    return (Rename("vision_proj", f"{towers}image_head"), Rename("text_proj", f"{towers}text_head"))
