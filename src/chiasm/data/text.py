"""Words to tensors: BLIP's cleaning of captions, and a tokenizer with BLIP's two extra tokens, CLIP's, or any other's.

encode   [CLS] a red circle [SEP] [PAD] [PAD]      matching and generation replace position 0
prompt   [PAD] [PAD] [DEC] a picture of            left-padded, ready to be continued
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from chiasm.core.files import write_atomic
from chiasm.core.types import Markers, Text
from chiasm.data import bytepairs

ADDED = ("[DEC]", "[ENC]")
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIAL = (*BERT, *ADDED)
ASCII = "".join(sorted(set(string.ascii_lowercase + string.digits + string.punctuation)))
INSIDE = re.compile(r"[\w'-]")  # what may follow another character within a word
# Punctuation stands alone, but for hyphens and apostrophes inside a word: "medium-dark" decodes as it was.
PUNCTUATION = r"[^\w\s'-]|(?<!\w)['-]|['-](?!\w)"
DROPPED = re.compile(
    r"[.!\"()*#:;~\s\x00-\x1f\x7f-\x9f"  # BLIP's marks, white space, control characters
    r"\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"  # invisible ones, broken halves
)
FILES = ("tokenizer.json", "vocab.txt", "vocab.json")  # what a folder may hold, the first one counts
BEFORE = "a"  # any word
LONGEST = 100  # characters of a word, the bound of the word piece model
WORDS = """
an the of in on at with to for from by and or is are that there this it we see no not one two three four five
picture photo image background side corner
red orange yellow green cyan blue purple pink brown black white grey gray navy light medium dark bright
circle square triangle diamond star heart cross ring crescent hexagon
circles squares triangles diamonds stars hearts crosses rings crescents hexagons
small large big little tiny top bottom left right centre center middle above below inside under between next
thing things object objects colour shape size what where which how many
man woman person people boy girl child face hand hair head skin tone
dog cat bird fish horse tree flower sun moon house car bus train boat plane
street water sky food cup table chair book ball hat flag clock
"""


def clean(text: str, *, max_words: int = 30) -> str:
    """A caption as BLIP trains on it (arXiv:2201.12086, as released): lower case, few marks, few words.

    Commas, hyphens, apostrophes and question marks stay.
    """
    return " ".join(DROPPED.sub(" ", text.lower()).split()[:max_words])


class Tokenizer:
    """Words to ids and back, over any `tokenizer.json`: with BERT's special tokens, and BLIP's, with CLIP's, or others.

    A text stands between `start` and `end`, which the tokenizers of language models lack: what those are told is
    framed by who tells it (`data/prompts.py`). A text can never produce a special token, whatever it says.
    """

    def __init__(self, backend: Backend) -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True
        pieces = backend.get_vocab(with_added_tokens=True)
        self._markers, self._frame, self.pad = None, None, 0
        if bytepairs.is_clip(pieces):
            backend.decoder = bytepairs.decoder()
            self._frame = pieces[bytepairs.START], pieces[bytepairs.END]
            self.pad = self._frame[1]  # as in transformers
        elif pieces.keys() >= {*BERT}:
            self._markers = _marked(backend)
            self._frame, self.pad = (self._markers.cls, self._markers.sep), self._markers.pad
        self._backend = backend
        self.vocab = backend.get_vocab_size(with_added_tokens=True)

    @property
    def backend(self) -> Backend:
        """A copy of what does the work, for who needs more than words of it."""
        return Backend.from_str(self._backend.to_str())

    @property
    def markers(self) -> Markers:
        """The special tokens of ALBEF and BLIP; raises where the vocabulary is another than BERT's."""
        if self._markers is None:
            whose = "the tokenizer" if self._frame is None else "CLIP's vocabulary"
            raise ValueError(f"{whose} lacks {', '.join(self._lacking())}: ALBEF and BLIP need one of BERT's")
        return self._markers

    @property
    def framed(self) -> bool:
        """Whether texts stand between tokens of its own."""
        return self._frame is not None

    @property
    def start(self) -> int:
        """What opens a text."""
        return self._framed()[0]

    @property
    def end(self) -> int:
        """What closes it."""
        return self._framed()[1]

    @property
    def around(self) -> tuple[int | None, int | None] | None:
        """What its own file puts before a text and behind it; None where that is nothing."""
        plain, whole = (self._backend.encode("a", add_special_tokens=special).ids for special in (False, True))
        if len(whole) == len(plain):
            return None
        first = next(place for place in range(len(whole)) if whole[place : place + len(plain)] == plain)
        before, behind = whole[:first], whole[first + len(plain) :]
        return before[-1] if before else None, behind[0] if behind else None

    def encode(self, texts: Sequence[str], *, max_length: int | None = None) -> Text:
        """`[CLS] words [SEP]`, or what stands for them, padded on the right to the longest."""
        if max_length is not None and max_length < 2:
            raise ValueError(f"max_length is {max_length}, but what opens and what ends a text alone need 2")
        words = None if max_length is None else max_length - 2
        return padded([[self.start, *row[:words], self.end] for row in self.ids(texts)], self.pad)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The words alone, without what opens and ends a text."""
        plain = [_whole(text) for text in texts]
        return [row.ids for row in self._backend.encode_batch_fast(plain, add_special_tokens=False)]

    def following(self, texts: Sequence[str]) -> list[list[int]]:
        """The words alone, as they are behind others: byte pairs begin with the space between the two."""
        (before,) = self.ids([BEFORE])
        return [row[len(before) :] for row in self.ids([f"{BEFORE} {text}" for text in texts])]

    def prompt(self, texts: Sequence[str]) -> Text:
        """`[DEC] words`, padded on the left: the beginning of what a decoder goes on with."""
        return padded_left([[self.markers.dec, *row] for row in self.ids(texts)], self.pad)

    def decode(self, ids: Sequence[int]) -> str:
        """The words without special tokens."""
        return self._backend.decode(list(ids), skip_special_tokens=True).strip()

    def save(self, path: str | Path) -> None:
        """Write a `tokenizer.json`; the same vocabulary gives the same bytes."""
        write_atomic(Path(path), self._backend.to_str(pretty=True).encode())

    def _framed(self) -> tuple[int, int]:
        if self._frame is None:
            raise ValueError(
                f"the tokenizer lacks {', '.join(self._lacking())}, and {bytepairs.START} and {bytepairs.END}: what "
                "reads texts beside pictures needs BERT's or CLIP's; language models that are shown pictures take any"
            )
        return self._frame

    def _lacking(self) -> list[str]:
        pieces = self._backend.get_vocab(with_added_tokens=True)
        return [name for name in SPECIAL if name not in pieces]

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a `tokenizer.json`, ours or another's, BERT's `vocab.txt`, or CLIP's `vocab.json` with `merges.txt`.

        A folder stands for what lies in it.
        """
        file = Path(path) if (found := beside(Path(path))) is None else found
        try:
            match file.name:
                case "vocab.json":
                    return cls(bytepairs.read(file))
                case name if name.endswith(".txt"):
                    return cls(_bert(file.read_bytes()))
                case _:
                    return cls(Backend.from_buffer(file.read_bytes()))
        except OSError as error:
            raise ValueError(f"cannot read the tokenizer {error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{file} is no tokenizer: {error}") from error

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab: int = 2048) -> "Tokenizer":
        """Learn at most `vocab` word pieces from `texts`; their order does not matter.

        Every frequent character becomes a piece of its own, so that hardly anything is unknown.
        """
        backend, plain = _wordpiece(SPECIAL), [_without_long_words(_whole(text)) for text in texts]
        characters = _characters(map(backend.normalizer.normalize_str, plain), vocab)
        # the library numbers "##x" in an order that changes from run to run, unless they are given
        continued = [f"##{character}" for character in characters if INSIDE.match(character)]
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocab, special_tokens=[*SPECIAL, *continued], initial_alphabet=characters,
            limit_alphabet=len(characters), show_progress=False,
        )  # fmt: skip
        backend.train_from_iterator(plain, trainer)
        pieces = backend.get_vocab()
        return cls(_wordpiece(sorted(pieces, key=pieces.__getitem__)))

    @classmethod
    def builtin(cls, words: Sequence[str] = tuple(WORDS.split())) -> "Tokenizer":
        """The vocabulary of the `tiny` presets: ASCII characters and some plain words, always the same."""
        return cls(_wordpiece([*SPECIAL, *ASCII, *(f"##{x}" for x in ASCII if INSIDE.match(x)), *words]))


def padded(rows: Sequence[Sequence[int]], pad: int) -> Text:
    """Rows of tokens, padded on the right to the longest."""
    width = max(map(len, rows), default=0)
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], dtype=torch.int64)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return Text(ids.view(len(rows), width), torch.arange(width) < lengths[:, None])


def padded_left(rows: Sequence[Sequence[int]], pad: int) -> Text:
    """Rows of tokens, padded on the left: what is going to be continued."""
    text = padded([row[::-1] for row in rows], pad)
    return Text(text.ids.flip(1), text.mask.flip(1))


def beside(folder: Path) -> Path | None:
    """The tokenizer in a folder, if there is one."""
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def _marked(backend: Backend) -> Markers:
    """Where BERT's special tokens are, and BLIP's, which are added to BERT's own vocabulary in this order.

    BLIP-2's has the first of the two alone.
    """
    known = backend.get_vocab(with_added_tokens=True)
    backend.add_special_tokens([name for name in ADDED if name not in known])
    pieces = backend.get_vocab(with_added_tokens=True)
    return Markers(**{name[1:-1].lower(): pieces[name] for name in SPECIAL if name != "[UNK]"})


def _wordpiece(pieces: Sequence[str]) -> Backend:
    """Lower-casing word pieces over a given vocabulary."""
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    if len(vocabulary) != len(pieces):
        raise ValueError(f"the vocabulary names {len(pieces) - len(vocabulary)} of its pieces twice")
    backend = Backend(models.WordPiece(vocabulary, max_input_chars_per_word=LONGEST))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(PUNCTUATION), "isolated")]
    )
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.add_special_tokens(list(SPECIAL))
    return backend


def _bert(vocabulary: bytes) -> Backend:
    """BERT's uncased tokenizer over a list of its word pieces."""
    pieces = vocabulary.decode("utf-8").splitlines()
    backend = Backend(models.WordPiece({piece: place for place, piece in enumerate(pieces)}))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.add_special_tokens([name for name in SPECIAL if name in pieces])
    return backend


def _characters(texts: Iterable[str], vocab: int) -> list[str]:
    """All of ASCII, and as many others, frequent ones first, as leave most of the vocabulary to words."""
    room = vocab - len(SPECIAL) - len(ASCII) - sum(bool(INSIDE.match(character)) for character in ASCII)
    if room < 0:
        raise ValueError(f"a vocabulary of {vocab} is too small: special tokens and ASCII take {vocab - room}")
    counts = Counter(character for text in texts for character in text if not character.isspace())
    others = sorted(counts.keys() - set(ASCII), key=lambda character: (-counts[character], character))
    return sorted([*ASCII, *others[: room // 4]])


def _without_long_words(text: str) -> str:
    """What word pieces can be learnt from: a longer word would be unknown, and take ages."""
    return " ".join(word for word in text.split() if len(word) <= LONGEST)


def _whole(text: str) -> str:
    """The text without halves of surrogate pairs, which no encoding can hold."""
    return text.encode("utf-8", "replace").decode()
