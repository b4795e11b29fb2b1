"""Cleaning as BLIP does it; tokens that decode to what they were, from the same files everywhere."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from transformers import BertTokenizer

from chiasm.core.types import Markers, Text
from chiasm.data.sources.chance import chance
from chiasm.data.text import ASCII, BERT, SPECIAL, WORDS, Tokenizer, clean

TINY = Tokenizer.builtin()
CAPTIONS = ["a large red circle at the top left", "two small blue stars", "", "a ring"]
NAMES = ["woman firefighter, medium-dark skin tone", "it's a cat's-eye", "o'clock"]


def rows(text: Text) -> list[list[int]]:
    return [row[mask].tolist() for row, mask in zip(text.ids, text.mask, strict=True)]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("A Red CIRCLE.", "a red circle"),
        ('He said: "Wow!" (twice) #fun; *ok* ~5', "he said wow twice fun ok 5"),
        ("it's a well-known cat, isn't it?", "it's a well-known cat, isn't it?"),
        ("a\n\n b\t c\r\n", "a b c"),
        ("a...b", "a b"),
        ("x\x00y\x1fz", "x y z"),
        (" ".join(map(str, range(99))), " ".join(map(str, range(30)))),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_clean_takes_fewer_words() -> None:
    assert clean("one two three four", max_words=2) == "one two"


def test_the_builtin_vocabulary_fits_the_tiny_presets() -> None:
    assert TINY.vocab == 256
    assert TINY.markers == Markers(pad=0, cls=2, sep=3, mask=4, dec=5, enc=6)
    for word in WORDS.split():
        assert len(rows(TINY.encode([word]))[0]) == 3
    for character in ASCII:
        assert TINY.decode(TINY.encode([character]).ids[0].tolist()) == character


def test_encode_pads_on_the_right() -> None:
    text, marks = TINY.encode(CAPTIONS), TINY.markers
    assert text.ids.shape == (4, 10)
    assert text.ids.dtype == torch.int64
    drawn = ["".join("x" if real else "." for real in row) for row in text.mask.tolist()]
    assert drawn == ["xxxxxxxxxx", "xxxxxx....", "xx........", "xxxx......"]
    for row, caption in zip(rows(text), CAPTIONS, strict=True):
        assert (row[0], row[-1]) == (marks.cls, marks.sep)
        assert TINY.decode(row) == caption
    assert (text.ids[~text.mask] == marks.pad).all()


def test_a_row_is_the_same_in_any_batch() -> None:
    assert rows(TINY.encode(CAPTIONS)) == [rows(TINY.encode([caption]))[0] for caption in CAPTIONS]


@pytest.mark.parametrize("length", [2, 3, 5, 10, 11])
def test_a_cut_text_keeps_its_end(length: int) -> None:
    for short, full in zip(rows(TINY.encode(CAPTIONS, max_length=length)), rows(TINY.encode(CAPTIONS)), strict=True):
        assert short == (full if len(full) <= length else [*full[: length - 1], TINY.markers.sep])


def test_too_short_a_length() -> None:
    with pytest.raises(ValueError, match="max_length is 1"):
        TINY.encode(["a"], max_length=1)


def test_a_prompt_is_padded_on_the_left_and_open() -> None:
    texts = ["a picture of", "", "a"]
    prompt, marks = TINY.prompt(texts), TINY.markers
    drawn = ["".join("x" if real else "." for real in row) for row in prompt.mask.tolist()]
    assert drawn == ["xxxx", "...x", "..xx"]
    for row, whole in zip(rows(prompt), rows(TINY.encode(texts)), strict=True):
        assert row == [marks.dec, *whole[1:-1]]


def test_no_texts() -> None:
    for text in (TINY.encode([]), TINY.prompt([])):
        assert text.ids.shape == text.mask.shape == (0, 0)


def test_decoding_drops_special_and_unknown_ids() -> None:
    ids = rows(TINY.encode(["a red ring"]))[0]
    marks = TINY.markers
    assert TINY.decode([marks.dec, marks.mask, *ids, marks.enc, marks.pad, 1]) == "a red ring"
    assert TINY.decode([*ids, 255 + 9]) == "a red ring"
    assert TINY.decode([]) == ""


def test_no_text_can_say_a_special_token() -> None:
    for tokenizer in (TINY, Tokenizer.train(SPECIAL, vocab=300)):
        for name in SPECIAL:
            assert len(rows(tokenizer.encode([f"{name}{name}"]))[0]) > 4
            assert not set(vars(tokenizer.markers).values()) & set(rows(tokenizer.encode([name]))[0][1:-1])


def test_what_was_learnt_is_whole() -> None:
    trained = Tokenizer.train(NAMES * 3 + CAPTIONS, vocab=400)
    assert trained.vocab <= 400
    assert trained.markers == TINY.markers
    for text in NAMES + CAPTIONS:
        assert trained.decode(rows(trained.encode([text]))[0]) == text
    assert len(rows(trained.encode(["woman firefighter"]))[0]) == 4
    assert "[UNK]" not in trained._backend.decode(rows(trained.encode(["zyx 9_8@"]))[0], skip_special_tokens=False)


def test_case_and_accents_do_not_matter() -> None:
    assert rows(TINY.encode(["A Réd CIRCLE"])) == rows(TINY.encode(["a red circle"]))


def test_other_scripts_can_be_learnt() -> None:
    text = "日本 نص ж"
    trained = Tokenizer.train([text] * 5, vocab=300)
    assert trained.decode(rows(trained.encode([text]))[0]).replace(" ", "") == text.replace(" ", "")


def test_the_same_texts_give_the_same_file() -> None:
    """In any order; the trainer's hash tables are different ones each time."""
    lots = chance("texts")
    texts = ["".join(lots.choice("abcdeé日本 -',") for _ in range(20)) for _ in range(500)]
    trained = [Tokenizer.train(lots.sample(texts, len(texts)), vocab=500) for _ in range(4)]
    assert len({tokenizer._backend.to_str() for tokenizer in trained}) == 1


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokenizer.json"
    TINY.save(path)
    loaded = Tokenizer.load(str(path))
    assert (loaded.vocab, loaded.markers) == (TINY.vocab, TINY.markers)
    assert rows(loaded.encode(CAPTIONS + NAMES)) == rows(TINY.encode(CAPTIONS + NAMES))
    before = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == before


def test_a_foreign_tokenizer_keeps_its_vocabulary_and_gets_our_framing() -> None:
    pieces = {name: 10 + i for i, name in enumerate(SPECIAL)} | {word: i for i, word in enumerate(["red", "ring"])}
    backend = Backend(WordPiece(pieces | {f"unused{i}": i for i in range(2, 10)}))
    backend.add_special_tokens(list(SPECIAL))
    backend.enable_padding(length=9)
    backend.enable_truncation(2)
    found = Tokenizer(backend)
    assert found.markers == Markers(pad=10, cls=12, sep=13, mask=14, dec=15, enc=16)
    assert rows(found.encode(["red", "ring"])) == [[12, 0, 13], [12, 1, 13]]


def test_files_that_are_no_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ValueError, match=r"cannot read the tokenizer .*No such file"):
        Tokenizer.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="is no tokenizer"):
        Tokenizer.load(path)


def test_a_language_model_s_tokenizer_frames_no_texts() -> None:
    other = Tokenizer(Backend(WordPiece({"[UNK]": 0, "[PAD]": 1}, unk_token="[UNK]")))
    assert (other.framed, other.vocab, other.around, other.ids(["a"])) == (False, 2, None, [[0]])
    for ask in (lambda: other.encode(["a"]), lambda: other.start, lambda: other.end):
        with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\], \[MASK\], .* and <\|endoftext\|>: what reads"):
            ask()
    with pytest.raises(ValueError, match=r"the tokenizer lacks \[CLS\], .*: ALBEF and BLIP need one of BERT's"):
        other.prompt(["a"])


def test_blip_2_s_tokenizer_has_the_first_of_the_two_alone() -> None:
    backend = Backend(WordPiece({name: i for i, name in enumerate([*BERT, "[DEC]", "red"])}, unk_token="[UNK]"))
    found = Tokenizer(backend)
    assert (found.markers.dec, found.markers.enc, found.vocab) == (5, 7, 8)


def test_vocabularies_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"a vocabulary of 50 is too small: .* take 114"):
        Tokenizer.train(["a"], vocab=50)
    with pytest.raises(ValueError, match="twice"):
        Tokenizer.builtin(["red", "red"])


@pytest.fixture
def bert(tmp_path: Path) -> Any:
    """A tokenizer of BERT's as `transformers` saves it."""
    pieces = ["[PAD]", *(f"[unused{i}]" for i in range(3)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle"]
    (tmp_path / "vocab.txt").write_text("\n".join([*pieces, "##s", "is", "##n", "t", "'", "!", "it", "don"]))
    made = BertTokenizer.from_pretrained(tmp_path)
    made.save_pretrained(tmp_path / "bert")
    return made


TEXTS = ["a red circle", "Red CIRCLES!", "isn't it a  red?", "", "rouge"]


@pytest.mark.parametrize("name", ["bert/tokenizer.json", "vocab.txt"])
def test_berts_own_vocabulary_gets_blips_two_tokens(bert: Any, name: str, tmp_path: Path) -> None:
    ours = Tokenizer.load(tmp_path / name)
    assert (ours.markers.dec, ours.markers.enc) == (len(bert), len(bert) + 1)
    assert ours.vocab == len(bert) + 2
    theirs = bert(TEXTS, padding=True)
    assert ours.encode(TEXTS).ids.tolist() == theirs["input_ids"]
    assert ours.encode(TEXTS).mask.int().tolist() == theirs["attention_mask"]
    again = Tokenizer.load(ours.save(tmp_path / "own.json") or tmp_path / "own.json")
    assert again.markers == ours.markers


@pytest.mark.parametrize("name", ["bert/tokenizer.json", "vocab.txt"])
def test_words_come_back_as_bert_writes_them(bert: Any, name: str, tmp_path: Path) -> None:
    ours = Tokenizer.load(tmp_path / name)
    for row in bert(TEXTS)["input_ids"]:
        expected = bert.decode(row, skip_special_tokens=True)
        assert ours.decode(row) == expected
