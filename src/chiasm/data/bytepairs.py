"""CLIP's byte pairs (arXiv:2103.00020, section 2.4): any text, whatever the script, in pieces of its bytes.

text ─ NFC, single spaces, lower case ─ words, digits, marks ─ bytes ─ pairs merged, last one + `</w>` ─ ids
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from chiasm.core.files import read_record

START, END = "<|startoftext|>", "<|endoftext|>"
LAST = "</w>"  # stands at the end of a word's last piece
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"  # as released; all else is space


def is_clip(pieces: Mapping[str, int]) -> bool:
    """Whether a vocabulary is of this kind."""
    return {START, END} <= pieces.keys()


def decoder() -> Any:
    """Pieces to text, with a space after each word."""
    return decoders.Sequence([decoders.ByteLevel(), decoders.Replace(LAST, " ")])


def read(vocabulary: Path) -> Backend:
    """The tokenizer of a `vocab.json` and the `merges.txt` beside it."""
    pieces = read_record(vocabulary)
    if odd := [name for name, place in pieces.items() if type(place) is not int]:
        raise ValueError(f"{odd[0]!r} has no number")
    if not is_clip(pieces):
        raise ValueError(f"it lacks {START} or {END}")
    merges = vocabulary.with_name("merges.txt").read_text(encoding="utf-8").split("\n")
    pairs = [_pair(line, pieces) for line in merges if line and not line.startswith("#version")]
    backend = Backend(models.BPE(pieces, pairs, unk_token=END, end_of_word_suffix=LAST))
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoder()
    backend.add_special_tokens([START, END])
    return backend


def _pair(line: str, pieces: Mapping[str, int]) -> tuple[str, str]:
    """A line of merges; the library would not say what is wrong with one."""
    first, _, second = line.rstrip("\r").partition(" ")
    if not {first, second, first + second} <= pieces.keys():
        raise ValueError(f"merges.txt merges {line!r}, which the vocabulary does not know")
    return first, second
