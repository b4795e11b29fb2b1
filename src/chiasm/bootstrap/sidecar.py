"""What a shard becomes: one row a picture, in columns, keyed by sample id."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

import pyarrow as pa
import pyarrow.parquet as pq

from chiasm.bootstrap.settings import Settings
from chiasm.data.pairs import Pair


class Status(StrEnum):
    """How a row ended."""

    OK = "ok"
    HUMAN = "human"  # a person wrote the text: neither captioned nor judged
    DECODE_ERROR = "decode_error"
    EMPTY_TEXT = "empty_text"  # of the web; the picture has been captioned all the same
    EMPTY_CAPTION = "empty_caption"
    SCORE_ERROR = "score_error"  # not a number


@dataclass(frozen=True, kw_only=True)
class Said:
    """A synthetic text: how it came about, and how well it fits; None where nobody asked."""

    text: str  # what the captioner added to the prompt
    prompt: str
    seed: int
    logprob: float
    itc: float | None = None
    itm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A picture, its web text and its synthetic ones, and how well each fits; None where nobody asked."""

    id: str
    web: str
    tags: str  # JSON
    seed: int
    synthetic: tuple[Said, ...] = ()
    web_itc: float | None = None
    web_itm: float | None = None
    width: int | None = None
    height: int | None = None
    blur: float | None = None  # as `data.quality` measures it: the larger, the sharper
    hash: int | None = None  # like pictures have like ones
    language: str = ""  # of the web text; "" where it cannot be told, or nobody asked
    status: Status = Status.OK
    error: str = ""

    @staticmethod
    def begin(pair: Pair, seed: int) -> "Row":
        """What is known before anybody has looked."""
        return Row(
            id=storable(pair.id),
            web=storable(pair.text),
            tags=json.dumps(dict(pair.tags), sort_keys=True, default=str),
            seed=seed_of(seed, pair.id),
            status=Status.HUMAN if pair.human else Status.OK,
        )


FORMAT = 2  # of a run folder; 1 had one synthetic text a row and no looks
SAID = pa.struct([
    ("text", pa.string()),
    ("prompt", pa.string()),
    ("seed", pa.int64()),
    ("logprob", pa.float32()),
    ("itc", pa.float32()),
    ("itm", pa.float32()),
])  # fmt: skip
SCHEMA = pa.schema([
    ("id", pa.string()),
    ("web", pa.string()),
    ("web_itc", pa.float32()),
    ("web_itm", pa.float32()),
    ("synthetic", pa.list_(SAID)),
    ("status", pa.string()),
    ("error", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("blur", pa.float32()),
    ("hash", pa.uint64()),
    ("language", pa.string()),
    ("tags", pa.string()),
    ("seed", pa.int64()),
    ("captioner", pa.string()),
    ("filter", pa.string()),
    ("strategy", pa.string()),
])  # fmt: skip
OF_THE_RUN = ("captioner", "filter", "strategy")


def encode_rows(rows: Sequence[Row], settings: Settings) -> bytes:
    """A side-car: the same rows give the same bytes."""
    everywhere = {name: value for name, value in asdict(settings).items() if name in OF_THE_RUN}
    table = pa.Table.from_pylist([asdict(row) | everywhere for row in rows], schema=SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def decode_rows(data: bytes) -> list[Row]:
    """The rows of a side-car."""
    table = pq.read_table(io.BytesIO(data), use_threads=False).drop_columns(list(OF_THE_RUN))
    return [
        Row(**row | {"status": Status(row["status"]), "synthetic": tuple(Said(**one) for one in row["synthetic"])})
        for row in table.to_pylist()
    ]


def seed_of(seed: int, sample: str, caption: int = 0) -> int:
    """A caption's own seed: it depends neither on its neighbours nor on who made it, nor on how many follow."""
    name = f"{seed} {sample}" if caption == 0 else f"{seed} {sample}#syn{caption}"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # a torch generator and an int64 column both hold it


def storable(text: str) -> str:
    """Half a surrogate pair, as broken JSON can bring it, is text to nobody else."""
    return text.encode("utf-8", "replace").decode()
