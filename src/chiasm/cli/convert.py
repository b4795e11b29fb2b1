"""`chiasm convert`: from one form of a model's files to another."""

from chiasm.cli.options import Convert
from chiasm.predictor.export import export, require_room
from chiasm.predictor.open import load


def convert(asked: Convert) -> None:
    """Load one, write the other."""
    require_room(asked.target, replace=asked.overwrite, asked="--overwrite")
    model = load(
        asked.source,
        device="cpu",
        dtype=asked.dtype,
        tokenizer=asked.tokenizer,
        revision=asked.revision,
        base=asked.base,
    )
    folder = export(model, asked.target, format=asked.format, overwrite=asked.overwrite)
    print(f"{folder} holds {model.system}/{model.preset} as {asked.format}: {', '.join(model.abilities)}")
