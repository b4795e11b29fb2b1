"""Tokenizers as language models bring them, of a few words: OPT's byte pairs, LLaMA's and T5's pieces; and BERT's."""

import json
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "a photo of a red star", "Question: what is the colour of the circle? Answer: blue", "two cats, naïve",
    "USER: a small square ASSISTANT: yes", "is it large? no",
] * 3  # fmt: skip


def opt(folder: Path) -> Path:
    """Byte pairs; </s> opens a text, and a new line closes what is said."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return _saved(backend, folder)


def llama(folder: Path) -> Path:
    """Pieces with a mark for the space before them, and bytes for the rest; </s> opens a text and closes it."""
    special = ["<unk>", "<s>", "</s>"]
    byte = [f"<0x{i:02X}>" for i in range(256)]
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no piece is longer than a word
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=[*special, *byte], show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    about = json.loads(backend.to_str())
    about["added_tokens"] = about["added_tokens"][: len(special)]  # bytes are no special tokens
    backend = Backend.from_str(json.dumps(about | {"pre_tokenizer": None}))
    backend.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)
    ])  # fmt: skip
    backend.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return _saved(backend, folder)


def t5(folder: Path) -> Path:
    """The likeliest pieces; </s> closes a text."""
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _saved(backend, folder)


def bert(folder: Path) -> Path:
    """Whole words, and [DEC] behind them, as InstructBLIP's Q-Former has it."""
    words = sorted({word for text in TEXTS for word in text.lower().split()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, "?", ":"]
    backend = Backend(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens([*pieces[:5], "[DEC]"])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _saved(backend, folder)


def _saved(backend: Backend, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"
