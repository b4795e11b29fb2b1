"""CLIP's byte pairs are those of `transformers`, string for string, on a vocabulary made here."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from chiasm.core.types import Text
from chiasm.data.bytepairs import END, LAST, START
from chiasm.data.text import Tokenizer

LEARNT = [
    "a photo of a cat",
    "the cat's photo isn't a dog's",
    "100 photos of a café in 2024",
    "猫の写真",
    "кот и кошка",
] * 9
TEXTS = [
    "a photo of a cat", "A  Photo\tof\n a CAT!", "", " ", "it's, they're; we've -- I'm 'd", "2024-11-21, 3.14%",
    "\u00a0x\u3000y", "cafe\u0301 café CAFÉ", "\u017ftraße İstanbul ΣΊΣΥΦΟΣ ǅ", "猫の写真 кот", "e\u0301\u0323 ﬁ",
    "🐈\u200d⬛ 👩🏽\u200d🚒🇫🇷", "_under_score a.b@c.d #1 <b>", "photo" * 40, "one two " * 100, "\u200bzero\ufeff",
    "\x00\x07", "<|x|> </w> w</w>x", "١٢٣ Ⅷ ½ \uff12",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As OpenAI's was made: every byte, every byte that ends a word, what merges make of them, two marks."""
    backend = Backend(models.BPE(end_of_word_suffix=LAST))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, end_of_word_suffix=LAST, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([word for text in LEARNT for word in text.split()], trainer)
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    pieces = [*alphabet, *(byte + LAST for byte in alphabet), *dict.fromkeys(map("".join, merges)), START, END]
    place = tmp_path_factory.mktemp("clip")
    (place / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (place / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return CLIPTokenizer.from_pretrained(folder)


def test_transformers_reads_what_we_save(folder: Path, theirs: Any, tmp_path: Path) -> None:
    Tokenizer.load(folder).save(tmp_path / "tokenizer.json")
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]


@pytest.fixture(scope="module", params=["vocab.json", "tokenizer.json", "ours", ""])
def ours(folder: Path, theirs: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """From the two files, from what transformers saves, from what we save, from the folder."""
    if request.param == "tokenizer.json":
        theirs.save_pretrained(place := tmp_path_factory.mktemp("theirs"))
        return Tokenizer.load(place / "tokenizer.json")
    if request.param == "ours":
        path = tmp_path_factory.mktemp("ours") / "tokenizer.json"
        Tokenizer.load(folder / "vocab.json").save(path)
        return Tokenizer.load(path)
    return Tokenizer.load(folder / request.param)


def rows(text: Text) -> list[list[int]]:
    return [ids[mask].tolist() for ids, mask in zip(text.ids, text.mask, strict=True)]


def test_ids_are_theirs(ours: Tokenizer, theirs: Any) -> None:
    assert ours.vocab == len(theirs)
    for text, row in zip(TEXTS, rows(ours.encode(TEXTS)), strict=True):
        assert row == theirs(text)["input_ids"], text
    told = theirs(TEXTS, padding=True, truncation=True, max_length=77, return_tensors="pt")
    batch = ours.encode(TEXTS, max_length=77)
    assert batch.ids.tolist() == told["input_ids"].tolist()
    assert batch.mask.long().tolist() == told["attention_mask"].tolist()
    assert batch.ids.shape[1] == 77


def test_words_come_back(ours: Tokenizer, theirs: Any) -> None:
    for text in TEXTS:
        row = theirs(text)["input_ids"]
        assert ours.decode(row).split() == theirs.decode(row, skip_special_tokens=True).split()
    assert ours.decode(rows(ours.encode(["A photo of a café!"]))[0]) == "a photo of a café !"


def test_no_text_can_say_a_special_token(ours: Tokenizer) -> None:
    ends = {ours.start, ours.end}
    for row in rows(ours.encode([f"a {END} b", f"{START}{END}", END])):
        assert (row[0], row[-1]) == (ours.start, ours.end)
        assert not ends & set(row[1:-1])


def test_it_is_none_of_berts(ours: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"CLIP's vocabulary lacks \[PAD\].*: ALBEF and BLIP need one of BERT's"):
        _ = ours.markers
    with pytest.raises(ValueError, match="CLIP's vocabulary"):
        ours.prompt(["a"])


def test_files_that_are_no_byte_pairs(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_bytes((folder / "vocab.json").read_bytes())
    with pytest.raises(ValueError, match=r"cannot read the tokenizer .*merges.txt"):
        Tokenizer.load(path)
    for merges in ("one\n", "never seen\n"):
        (tmp_path / "merges.txt").write_text(merges)
        with pytest.raises(ValueError, match=r"vocab.json is no tokenizer"):
            Tokenizer.load(path)
    (tmp_path / "merges.txt").write_bytes((folder / "merges.txt").read_bytes())
    for broken in ("{", "[]", '{"a": "b"}', '{"a": 0}'):
        path.write_text(broken)
        with pytest.raises(ValueError, match=r"vocab.json is no tokenizer"):
            Tokenizer.load(path)
