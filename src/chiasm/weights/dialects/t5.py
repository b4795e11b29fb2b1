"""T5 as `transformers` names it: its first form, and that of T5 1.1 and Flan-T5, whose MLPs are gated."""

from chiasm.core.dialect import Dialect, Drop, Rename, Tied, mount

WORDS = "shared.weight"
PLAIN: Dialect = (Rename("DenseReluDense.wi", "mlp.up"), Rename("DenseReluDense.wo", "mlp.down"))
GATED: Dialect = (
    Rename("DenseReluDense.wi_0", "mlp.gate"),
    Rename("DenseReluDense.wi_1", "mlp.up"),
    Rename("DenseReluDense.wo", "mlp.down"),
)
SHARED_HEAD = Tied("lm_head.weight", WORDS)
OWN_HEAD = Rename("lm_head", "head")


def _attention(theirs: str, ours: str) -> Dialect:
    names = {"q": "q", "k": "k", "v": "v", "o": "out"}
    return tuple(Rename(f"{theirs}.{name}", f"{ours}.{part}") for name, part in names.items())


def _stack(name: str, **sublayers: Dialect) -> Dialect:
    """A stack of layers, each of these sublayers after a norm."""
    rules = [
        rule
        for number, (ours, part) in enumerate(sublayers.items())
        for rule in mount((*part, Rename("layer_norm", f"{ours}_norm")), theirs=f"layer.{number}.")
    ]
    return (
        *mount(rules, theirs=f"{name}.block.{{i}}.", ours=f"{name}.layers.{{i}}."),
        Rename(f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias", f"{name}.distances.bias"),
        Rename(f"{name}.final_layer_norm", f"{name}.norm"),
        Drop(f"{name}.embed_tokens", f"{WORDS} once more"),
    )


def t5(mlp: Dialect, head: Rename | Tied) -> Dialect:
    """The whole of `T5ForConditionalGeneration`."""
    attend, read = _attention("SelfAttention", "attend"), _attention("EncDecAttention", "read")
    return (
        Rename("shared", "word"),
        *_stack("encoder", attend=attend, mlp=mlp),
        *_stack("decoder", attend=attend, read=read, mlp=mlp),
        Drop(
            "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias", "never read: what is given has no place"
        ),
        head,
    )


FIRST = t5(PLAIN, SHARED_HEAD)
FLAN = t5(GATED, OWN_HEAD)
