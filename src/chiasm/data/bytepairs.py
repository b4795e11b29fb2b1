"""CLIP's byte pairs (arXiv:2103.00020, section 2.4): any text, whatever the script, in pieces of its bytes.

text ─ NFC, single spaces, lower case ─ words, digits, marks ─ bytes ─ pairs merged, last one + `</w>` ─ ids
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

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
    merges = vocabulary.with_name("merges.txt").read_text(encoding="utf-8")
    pairs = [tuple(line.split(" ")) for line in merges.splitlines() if line and not line.startswith("#version")]
    pieces: dict[str, int] = json.loads(vocabulary.read_text(encoding="utf-8"))
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
